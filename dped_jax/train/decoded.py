"""The training split decoded once: a file of uint8 pairs beside the dataset.

`decoded-train-KEY.npy` is (pairs, 2, 100, 100, 3) uint8, phone before DSLR, in the dataset's order;
NumPy opens it. KEY is made of the split's checksums, so that the file of another dataset is never
taken. After the array comes the CRC-32 of every pair, (pairs,) little-endian uint32, with which a
pair is compared when it is read first. Nothing of it is held in memory: pairs are read where they
are needed, and the system keeps what is read often.
"""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import weakref
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from dped_jax.base.progress import progress_bar
from dped_jax.input_pipeline import (
    DATASET_VERSION,
    PATCH_SIZE,
    Pairs,
    dataset_folder,
    load_pairs,
    open_split,
)

SIDES = ("phone", "dslr")
PAIR_SHAPE = (2, PATCH_SIZE, PATCH_SIZE, 3)
PAIR_BYTES = int(np.prod(PAIR_SHAPE))
_CHUNK = 200  # pairs that are decoded at a time: 12 MB
_CHECKSUM = np.dtype("<u4")


class DecodedPairs:
    """A split's pairs, decoded, in a file that is only read."""

    def __init__(self, path: pathlib.Path):
        """Opens a file as described above; ValueError where it is none such."""
        try:
            mapped = np.load(path, mmap_mode="r")
        except EOFError as error:
            raise ValueError("empty") from error
        if mapped.shape[1:] != PAIR_SHAPE or mapped.dtype != np.uint8:
            raise ValueError(f"holds {mapped.dtype} of shape {mapped.shape}")
        self._path, self._num, self._start = path, len(mapped), mapped.offset
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        end = self._start + self._num * PAIR_BYTES
        self._checksums = np.frombuffer(os.pread(self._file, 4 * self._num + 1, end), _CHECKSUM)
        if len(self._checksums) != self._num:
            raise ValueError("no checksum of every pair at its end")
        self._is_checked = np.zeros(self._num, bool)

    def __len__(self) -> int:
        return self._num

    def load(self, indices: Sequence[int]) -> Pairs:
        """Reads pairs: `phone` and `dslr`, (n, 100, 100, 3) uint8, as `load_pairs` does.

        Raises:
          OSError: the file has become shorter, cannot be read, or a pair of it is damaged.
        """
        pairs = {name: np.empty((len(indices), *PAIR_SHAPE[1:]), np.uint8) for name in SIDES}
        for k, index in enumerate(indices):
            buffers = [pairs[name][k] for name in SIDES]
            self._read(buffers, int(index))
            self._check(int(index), *buffers)
        return pairs

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Reads neighbouring pairs, each as a row of bytes: (n, PAIR_BYTES) uint8."""
        rows = np.empty((stop - start, PAIR_BYTES), np.uint8)
        if len(rows):
            self._read([rows], start)
        for k, row in enumerate(rows):
            self._check(start + k, row)
        return rows

    def _check(self, index: int, *parts: np.ndarray) -> None:
        if self._is_checked[index]:
            return
        if _checksum(*parts) != self._checksums[index]:
            raise OSError(
                f"{self._path}: pair {index} is damaged; remove the file, and the same command "
                "decodes the dataset anew"
            )
        self._is_checked[index] = True

    def _read(self, buffers: list[np.ndarray], first: int) -> None:
        found = os.preadv(self._file, buffers, self._start + first * PAIR_BYTES)
        if found < sum(buffer.nbytes for buffer in buffers):
            raise OSError(f"{self._path}: has become shorter while it was read; start again")


def _checksum(*parts: np.ndarray) -> int:
    """CRC-32 of arrays as if they followed each other."""
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def key_of(split: dict[str, Any]) -> str:
    """What tells a split's decoded file from others; from `fingerprint()["splits"]`."""
    kept = json.dumps([DATASET_VERSION, split], sort_keys=True)
    return hashlib.sha256(kept.encode()).hexdigest()[:16]


def open_decoded(
    data_dir: str | pathlib.Path, phone: str, fingerprint: dict[str, Any]
) -> DecodedPairs | None:
    """The training split, decoded: made first where it is not there, or damaged.

    Several processes that ask at the same time wait for the one that makes it.

    Args:
      data_dir: as for `open_split`.
      phone: likewise.
      fingerprint: of this dataset, from `train.fingerprint`.

    Returns:
      None where it can be neither read nor made; a warning says why.
    """
    folder = dataset_folder(data_dir, phone) / DATASET_VERSION
    split = fingerprint["splits"]["train"]
    path = folder / f"decoded-train-{key_of(split)}.npy"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return _opened(path, split["pairs"])
    try:
        with (folder / "decoded-train.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                try:  # another process may have made it
                    return _opened(path, split["pairs"])
                except ValueError as error:
                    logging.warning("%s: damaged (%s): decoded anew", path, error)
            for other in folder.glob("decoded-train-*"):
                if other.suffix == ".npy" and other != path:
                    logging.warning("%s: of an earlier dataset: removed", other)
                other.unlink()
            _make(path, data_dir, phone)
            return _opened(path, split["pairs"])
    except OSError as error:
        logging.warning(
            "no decoded copy of the training split in %s: %s; every epoch decodes it, which is "
            "slower. Make room, or set --config.data.decode_once=False",
            *(folder, error),
        )
    return None


def _opened(path: pathlib.Path, num_pairs: int) -> DecodedPairs:
    decoded = DecodedPairs(path)
    if len(decoded) != num_pairs:
        raise ValueError(f"holds {len(decoded)} pairs, not {num_pairs}")
    return decoded


def _make(path: pathlib.Path, data_dir: str | pathlib.Path, phone: str) -> None:
    source = open_split(data_dir, phone, "train")
    needed, free = len(source) * (PAIR_BYTES + 4), shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(f"it takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    partial = path.with_name(path.name + ".partial")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), *PAIR_SHAPE)}
    checksums: list[int] = []
    try:
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            with progress_bar(
                total=len(source), desc="decoding the dataset once", leave=False, unit=" pairs"
            ) as progress:
                for pairs in _decoded_chunks(source):
                    images = np.stack([pairs[name] for name in SIDES], axis=1)
                    file.write(images)
                    checksums += map(_checksum, images)
                    progress.update(len(images))
            file.write(np.array(checksums, _CHECKSUM))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _decoded_chunks(source: Sequence[dict[str, Any]]) -> Iterator[Pairs]:
    """All pairs in order, decoded on all cores a few chunks ahead."""
    ranges = (range(i, min(i + _CHUNK, len(source))) for i in range(0, len(source), _CHUNK))
    workers = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = [
            pool.submit(load_pairs, source, r) for r in itertools.islice(ranges, 2 * workers)
        ]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(load_pairs, source, r) for r in itertools.islice(ranges, 1)]
