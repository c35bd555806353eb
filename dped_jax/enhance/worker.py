"""What dped_jax.enhance does with files: which go where, on which device, and what failed."""

import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import re
import tempfile
import threading
from collections.abc import Callable

import jax
import numpy as np
from absl import logging

from dped_jax.base import folders, pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.base.progress import progress_bar
from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.pixels import to_integers

BAR = "{l_bar}{bar}| {n:.1f}/{total} photographs [{elapsed}<{remaining}{postfix}]"
Job = tuple[pathlib.Path, pathlib.Path]
Crop = tuple[int, int, int | None, int | None]
OnProgress = Callable[[float, float], None]  # the share of a photograph, and its megapixels


def plan(source: pathlib.Path, target: pathlib.Path, overwrite: bool = False) -> list[Job]:
    """Which photographs go where: a file to a file, those of a folder to the same names in another.

    Photographs of a folder whose format is not written, as camera raw, become JPEG; where there is
    a JPEG of that name already, as cameras write it beside camera raw, that one is taken.

    Raises:
      InputError: the input is missing or holds no photographs, an output exists already or is the
        input, or its folder is missing.
      OSError: nothing can be written there.
    """
    if source.is_dir():
        jobs = _plan_folder(source, target)
        if target.exists() and not target.is_dir():
            raise InputError(f"--output={target}: is a file; a folder of photos needs a folder")
    elif source.is_file():
        jobs = [(source, target / source.name if target.is_dir() else target)]
    else:
        raise InputError(f"--input={source}: no such file or folder")
    for path, output in jobs:
        writing.check_suffix(output)
        if output.exists() and output.samefile(path):
            raise InputError(f"--output={target}: is the input; choose another place")
        if output.exists() and not overwrite:
            raise InputError(
                f"{output}: exists already; --skip_existing goes on, --overwrite replaces it"
            )
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not jobs[0][1].parent.is_dir():
        raise InputError(f"--output={target}: no folder {jobs[0][1].parent}; make it first")
    with tempfile.TemporaryFile(dir=target if target.is_dir() else target.parent):
        pass  # finds out before the work whether files can be written there
    return jobs


def _plan_folder(source: pathlib.Path, target: pathlib.Path) -> list[Job]:
    names = folders.pictures_of(source, f"--input={source}", below=True)
    paths = [source / name for name in sorted(names, key=folders.natural_key)]
    if target != source:  # results of an earlier run
        paths = [path for path in paths if target not in path.parents]
    outputs, others = {}, []
    for path in paths:
        output = target / path.relative_to(source)
        if output.suffix.lower() in writing.FORMATS:
            outputs[output] = path
        else:
            others.append((path, output.with_suffix(".jpg")))
    twice = [str(path) for path, output in others if outputs.setdefault(output, path) is not path]
    if twice:
        logging.warning("%s: passed over, as there is a JPEG of its name", folders.some(twice))
    if not outputs:
        raise InputError(f"--input={source}: holds no photographs but those in --output={target}")
    return [(path, output) for output, path in outputs.items()]


def parse_crop(geometry: str) -> Crop:
    """Width, height, left and top of WIDTHxHEIGHT+LEFT+TOP; the last two None if they are left out.

    Raises:
      InputError: it is written in another way, or is empty.
    """
    match = re.fullmatch(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?", geometry)
    if not match or "0" in match.groups()[:2]:
        raise InputError(f"--crop={geometry}: write WIDTHxHEIGHT or WIDTHxHEIGHT+LEFT+TOP")
    width, height, *corner = match.groups()
    left, top = (None if number is None else int(number) for number in corner)
    return int(width), int(height), left, top


def window_of(crop: Crop, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that `parse_crop` gives, in the middle if it does not say where.

    Raises:
      InputError: nothing of the photograph lies there.
    """
    columns, rows, left, top = crop
    if left is None or top is None:
        top, left = max(0, (height - rows) // 2), max(0, (width - columns) // 2)
    if top >= height or left >= width:
        raise InputError("--crop: lies outside the photograph")
    return slice(top, top + rows), slice(left, left + columns)


def crop_photo(photo: Picture, crop: Crop) -> Picture:
    """Cuts out what `parse_crop` gives; raises as `window_of`."""
    window = window_of(crop, *photo.pixels.shape[:2])
    alpha = None if photo.alpha is None else photo.alpha[window]
    return dataclasses.replace(photo, pixels=photo.pixels[window], alpha=alpha)


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Before | after; both of the same size and depth."""
    pixels = np.concatenate([before.pixels, after.pixels], axis=1)
    alpha = None if after.alpha is None else np.concatenate([after.alpha] * 2, axis=1)
    return dataclasses.replace(after, pixels=pixels, alpha=alpha)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the flags say of every photograph."""

    memory: float
    half: bool = False
    disk: bool = False
    scratch_dir: str | None = None
    whole: bool = False
    crop: Crop | None = None
    compare: bool = False
    quality: int = 95
    max_megapixels: float = 200.0


class Worker:
    """Enhances files on one device: several threads read and write, one at a time computes."""

    def __init__(self, config, variables, device: jax.Device, settings: Settings):
        self._enhancer = PhotoEnhancer(config, variables, device)
        self._computing = threading.Lock()
        self._settings = settings

    def __call__(self, job: Job, on_progress: OnProgress) -> None:
        """Enhances a file; `on_progress` is told of the work that was done since the last call.

        Raises:
          InputError, OSError, OverflowError: it cannot be read, enhanced or written.
        """
        source, output = job
        settings = self._settings
        photo = pictures.read(source, max_megapixels=settings.max_megapixels)
        for warning in photo.warnings:
            logging.warning("%s: %s", source, warning)
        if settings.crop:
            photo = crop_photo(photo, settings.crop)
        height, width = photo.pixels.shape[:2]
        writing.check_writable(output, height, width * (1 + settings.compare))
        deep = photo.pixels.dtype == np.uint16 and writing.is_deep(output)
        with self._computing:
            pixels = self._compute(photo.pixels, np.uint16 if deep else np.uint8, on_progress)
        if photo.pixels.dtype == np.uint16 and not deep:
            photo = writing.to_8_bits(photo)
        result = dataclasses.replace(photo, pixels=pixels)
        if settings.compare:
            result = side_by_side(photo, result)
        output.parent.mkdir(parents=True, exist_ok=True)
        writing.write(output, result, settings.quality)

    def _compute(self, pixels: np.ndarray, dtype: type, on_progress: OnProgress) -> np.ndarray:
        settings = self._settings
        height, width = pixels.shape[:2]

        def on_share(share: float) -> None:
            on_progress(share, share * height * width / 1e6)

        if settings.whole:
            enhanced = self._enhancer.whole(pixels)
            on_share(1.0)
            return to_integers(enhanced, dtype)
        storage = self._enhancer.choose_storage(
            height,
            width,
            memory=settings.memory,
            half=settings.half,
            disk=settings.disk,
            folder=settings.scratch_dir,
        )
        return self._enhancer(pixels, storage, on_share, dtype)


def enhance_files(jobs: list[Job], workers: list[Worker]) -> tuple[list[str], float]:
    """Enhances files; goes on past those that fail.

    Returns:
      One line for each failure, and the megapixels that were enhanced.
    """
    failures, megapixels = [], 0.0
    free = queue.SimpleQueue()
    for worker in workers * 2:  # one thread reads or writes while the other computes
        free.put(worker)
    lock, stopping = threading.Lock(), threading.Event()

    def run(job: Job) -> None:
        left = 1.0

        def on_progress(share: float, size: float) -> None:
            nonlocal left, megapixels
            if stopping.is_set():
                raise InputError("interrupted")
            with lock:
                left, megapixels = left - share, megapixels + size
                rate = megapixels / max(bar.format_dict["elapsed"], 1e-3)
                bar.set_postfix_str(f"{megapixels:.2f} MP, {rate:.2f} MP/s", refresh=False)
                bar.update(min(share, bar.total - bar.n))  # shares add up but for rounding

        worker = free.get()
        try:
            worker(job, on_progress)
        except (InputError, OSError, OverflowError) as error:
            message = " ".join(str(error).split())
            failures.append(message if str(job[0]) in message else f"{job[0]}: {message}")
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            message = str(error).splitlines()[0] if str(error) else "out of memory"
            failures.append(f"{job[0]}: {message}; try --memory_gb, --half or --disk")
        finally:
            free.put(worker)
            with lock:
                bar.update(min(left, bar.total - bar.n))

    pool = concurrent.futures.ThreadPoolExecutor(2 * len(workers))
    with progress_bar(total=len(jobs), bar_format=BAR) as bar:
        try:
            list(pool.map(run, jobs))
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)
    return sorted(failures), megapixels


def use_compilation_cache() -> None:
    """Keeps compiled programs for the next start, unless JAX is told where to already."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "dped_jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
