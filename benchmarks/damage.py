"""Part of `make stress`: damaged camera files through the reader, in a bounded process.

    python benchmarks/damage.py [--files=5000] [--seed=0] [--first=0] [--reader=MODULE]

Made-up camera files, and those of ../shared/data/camera_files where they are, are cut, overwritten
and joined. The reader must give the pixels of the whole file, refuse in a line, or give pixels of
the size that the header states; of a PNG, which has checksums, and of a file that lacks its end,
nothing but the first two. A crash, another exception, more than 1 GB of memory or no end within a
minute is a problem, and printed with the number of the file: --first=N --files=1 makes it again.
"""

import argparse
import collections
import dataclasses
import functools
import hashlib
import importlib
import json
import pathlib
import random
import re
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared/data/camera_files"
MOST_SECONDS, MOST_MEMORY, MOST_ADDRESSES = 60, 1 << 30, 16 << 30
HEADER = 1024  # half of the damage is done within it
DAMAGES = ("cut", "flipped", "overwritten", "removed", "repeated", "joined", "spliced")
READER = "dped_jax.base.pictures"


@functools.cache
def sources() -> dict[str, bytes]:
    """The whole files, by name."""
    sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]
    import camera_files

    files = {kind.name: kind.data for kind in camera_files.all_kinds()}
    others = [path for path in SHARED.glob("*.*") if path.suffix not in (".json", ".py", ".md")]
    return files | {f"shared {path.name}": path.read_bytes() for path in sorted(others)}


def damaged(seed: int, number: int) -> tuple[str, str, bytes]:
    """A damaged file by its number.

    Returns:
      The name of the whole file, what was done, and the bytes.
    """
    rng, files = random.Random(f"{seed}/{number}"), sources()
    names = sorted(files)
    name, other, how = rng.choice(names), files[rng.choice(names)], rng.choice(DAMAGES)
    data = bytearray(files[name])
    end = min(len(data), HEADER) if rng.random() < 0.5 else len(data)
    if not data:
        return name, "empty", b""
    start, size = rng.randrange(end), rng.choice((1, 2, 4, 16, 64, 1024))
    if how == "cut":
        del data[rng.randrange(len(data)) :]
    elif how == "flipped":
        for _ in range(rng.choice((1, 1, 2, 8, 40))):
            data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    elif how == "overwritten":
        size = min(size, len(data) - start)
        fill = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
        data[start : start + size] = fill
    elif how == "removed":
        del data[start : start + size]
    elif how == "repeated":
        data[start:start] = data[start : start + size]
    elif how == "joined":
        data += other[rng.choice((0, 0, rng.randrange(len(other) or 1))) :]
    else:
        data[start:] = other[min(start, len(other) // 2) :]
    return name, how, bytes(data)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a file: right, refused, another picture, or what is wrong.

    Attributes:
      status: "right", "refused", "other pixels", "traceback", "wrong size", "crash", "no end" or
        "memory".
      detail: the line, or what is known of the failure.
    """

    status: str
    detail: str = ""


def work(reader_name: str) -> None:
    """The bounded process: reads numbers of files from stdin, and answers in lines of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    files, reader = sources(), importlib.import_module(reader_name)
    from dped_jax.base.errors import InputError

    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries may print

    @functools.cache
    def whole(name: str) -> bytes:
        try:
            return digest(reader.read(files[name], name=name).pixels)
        except InputError:
            return b""

    for line in sys.stdin:
        seed, number = map(int, line.split())
        name, _, data = damaged(seed, number)
        try:
            outcome = compare(reader, data, whole(name))
        except InputError as error:
            is_a_line = "\n" not in str(error).strip()
            outcome = Outcome("refused" if is_a_line else "traceback", str(error))
        except Exception:
            outcome = Outcome("traceback", traceback.format_exc())
        # Not getrusage's: it begins at the peak of the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
        if peak > MOST_MEMORY:
            outcome = Outcome("memory", f"{peak / 1e9:.1f} GB")
        print(json.dumps(dataclasses.asdict(outcome)), file=answers, flush=True)


def digest(pixels) -> bytes:
    """Of pixels, their type and their size."""
    start = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode())
    start.update(pixels.data if pixels.flags.c_contiguous else pixels.tobytes())
    return start.digest()


def compare(reader, data: bytes, whole: bytes) -> Outcome:
    """Reads, and compares with the pixels of the whole file and with the size in the header."""
    pixels = reader.read(data, name="damaged").pixels
    if digest(pixels) == whole:
        return Outcome("right")
    size = tuple(reader.size(data, name="damaged"))
    if pixels.shape[:2] != size:
        return Outcome("wrong size", f"{pixels.shape}, the header says {size}")
    return Outcome("other pixels")


class Worker:
    """The bounded process, as long as it lives and stays small."""

    def __init__(self, reader: str):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, __file__, f"--work={reader}"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip

    def read(self, seed: int, number: int) -> Outcome:
        """Has one file read."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{seed} {number}\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], MOST_SECONDS)[0]:
            return Outcome("no end", f"within {MOST_SECONDS} s")
        answer = self.process.stdout.readline()
        if answer:
            return Outcome(**json.loads(answer))
        code = self.process.wait()
        self.errors.seek(0)
        return Outcome("crash", f"exit status {code} {self.errors.read()[-300:]}")

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def results(seed: int, numbers: range, reader: str) -> Iterator[tuple[int, str, str, Outcome]]:
    """Reads the files of these numbers; yields number, whole file, damage and what came of it."""
    worker = Worker(reader)
    try:
        for number in numbers:
            name, how, _ = damaged(seed, number)
            outcome = worker.read(seed, number)
            yield number, name, how, outcome
            if outcome.status in ("traceback", "crash", "no end", "memory"):
                worker.close()
                worker = Worker(reader)
    finally:
        worker.close()


def problem(name: str, how: str, outcome: Outcome) -> str:
    """What is wrong with what came of a file; "" where nothing is."""
    if outcome.status in ("right", "refused"):
        return ""
    if outcome.status != "other pixels":
        return f"{outcome.status}: {outcome.detail}"
    is_png = sources()[name].startswith(b"\x89PNG")
    if is_png and how in ("flipped", "overwritten"):
        return "other pixels, where there are checksums"
    return "other pixels, where some are missing" if how == "cut" else ""


def main() -> None:
    """Reads all, and prints what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of what is damaged how")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--reader", default=READER, help="module with read and size")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    counts = collections.Counter()
    problems = []
    numbers = range(options.first, options.first + options.files)
    for number, name, how, outcome in results(options.seed, numbers, options.reader):
        counts[how, outcome.status] += 1
        wrong = problem(name, how, outcome)
        if wrong:
            problems.append(f"{number}: {name}, {how}: {wrong}")
            print(problems[-1], flush=True)
    statuses = sorted({status for _, status in counts})
    print(f"{'':12}", *(f"{status:>14}" for status in statuses))
    for how in ("empty", *DAMAGES):
        row = [counts[how, status] for status in statuses]
        print(f"{how:12}", *(f"{count:14}" for count in row))
    print(f"{sum(counts.values())} files, {len(problems)} problems")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
