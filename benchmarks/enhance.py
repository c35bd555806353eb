"""Part of `make bench`: what enhancing a photograph costs, beside the network on it in one piece.

    python benchmarks/enhance.py [--photo=F] [--workdir=W] [--rounds=5] [--megapixels=3.1,12,50]
        [--turns=3]

Times are medians of rounds in which all ways take turns, as wall-clock and as CPU seconds: the
latter count where others use the machine. Errors are against the network in one piece. Memory is
the peak of fresh processes of the command. Without a workdir the network has the released
generator's shape and random weights. At last the command with `mobile.py`'s network and with the
released generator's take turns on 12 megapixels, beside what is asked of the first.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
MODES = {
    "whole": None,
    "float32": {},
    "half": {"half": True},
    "disk": {"place": "disk"},
    "half on disk": {"place": "disk", "half": True},
}
MEMORY_FLAGS = {
    "default": [],
    "lowest": ["--disk", "--half"],
    "lowest exact": ["--disk"],
    "in memory": ["--memory_gb=1000"],
    "in memory, half": ["--memory_gb=1000", "--half"],
    "whole": ["--whole"],
}


def make_photo(path: pathlib.Path, megapixels: float, source: pathlib.Path | None = None) -> None:
    """A 4:3 photograph of a size, from one that scikit-image ships."""
    import cv2
    import skimage.data

    photo = cv2.imread(str(source)) if source else skimage.data.coffee()[..., ::-1]
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    cv2.imwrite(str(path), cv2.resize(photo, (round(height * 4 / 3), height)))


def print_speed(workdir: pathlib.Path, photo: pathlib.Path, rounds: int) -> float:
    """Prints the table of times; returns the seconds that computing takes by default."""
    from dped_jax import checkpoint
    from dped_jax.base import pictures
    from dped_jax.enhance.activations import Storage
    from dped_jax.enhance.photo_enhancer import PhotoEnhancer
    from dped_jax.enhance.worker import use_compilation_cache
    from dped_jax.pixels import to_integers

    use_compilation_cache()
    config, variables, _ = checkpoint.load_generator(workdir)
    enhancer = PhotoEnhancer(config, variables)
    pixels = pictures.read(photo).pixels
    seconds, results = {mode: [] for mode in MODES}, {}
    for _ in range(rounds + 1):  # the first one compiles
        for mode, storage in MODES.items():
            wall, cpu = time.perf_counter(), time.process_time()
            if storage is None:
                results[mode] = enhancer.whole(pixels)
            else:
                results[mode] = enhancer(pixels, Storage(**storage))
            seconds[mode].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {
        mode: [statistics.median(column) for column in zip(*values[1:], strict=True)]
        for mode, values in seconds.items()
    }
    height, width = pixels.shape[:2]
    print(f"\nEnhance, {width}x{height}, computing only, median of {rounds}")
    print("activations      s   CPU s   MP/s   / whole   CPU / whole   error   8-bit values off")
    for mode, (wall, cpu) in medians.items():
        rate = height * width / 1e6 / wall
        whole = medians["whole"]
        error = abs(results[mode] - results["whole"]).max()
        levels = [to_integers(results[name]) for name in (mode, "whole")]
        off = (levels[0] != levels[1]).mean()
        print(
            f"{mode:<13}{wall:>6.1f}{cpu:>8.1f}{rate:>7.2f}{wall / whole[0]:>10.2f}"
            f"{cpu / whole[1]:>14.2f}{error:>8.0e}{off:>18.4%}",
            flush=True,
        )
    return medians["float32"][0]


def run_command(workdir, photo, flags: list[str]) -> dict[str, float]:
    """Runs the command in a process of its own; its seconds, CPU seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.jpg"
        argv = [sys.executable, __file__, "--run", f"--workdir={workdir}", f"--input={photo}"]
        argv += [f"--output={output}", *flags]
        start = time.perf_counter()
        result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
    if result.returncode:
        sys.exit(result.stderr)
    return {"seconds": seconds} | json.loads(result.stdout.splitlines()[-1])


def bar(value: float, unit: str, *, least: float = 0, most: float = float("inf")) -> str:
    """A value beside what is asked of it."""
    asked = f"at least {least:g}" if least else f"at most {most:g}"
    return f"{value:.2f} {unit} ({'met' if least <= value <= most else 'MISSED'}: {asked})"


def print_mobile(root: pathlib.Path, source: pathlib.Path, turns: int) -> None:
    """Prints what the command takes with `mobile.py`'s network and the released one's shape."""
    import tiny

    from configs import mobile, release

    configs = {"mobile": mobile.get_config(), "released": release.get_config()}
    workdirs = {
        name: tiny.write_model(root / name, *tiny.random_generator(**config.generator))
        for name, config in configs.items()
    }
    photos = {megapixels: root / f"{megapixels}.jpg" for megapixels in (12, 50)}
    for megapixels, photo in photos.items():
        make_photo(photo, megapixels, source)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in workdirs}
    for _ in range(turns):
        for name, workdir in workdirs.items():
            runs[name].append(run_command(workdir, photos[12], []))
    large = run_command(workdirs["mobile"], photos[50], [])
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    slow, fast = medians["released"], medians["mobile"]
    print(f"\n12 MP by the command, start to finish, in turns, median of {turns}")
    print("released   {seconds:.1f} s, {cpu:.1f} CPU s, peak {peak_gb:.2f} GB".format(**slow))
    print("mobile.py  {}, {:.1f} CPU s, peak {}".format(
        bar(fast["seconds"], "s", most=8), fast["cpu"], bar(fast["peak_gb"], "GB", most=1.2)
    ))  # fmt: skip
    print("released / mobile.py  {}, {:.1f} in CPU s".format(
        bar(slow["seconds"] / fast["seconds"], "times", least=12), slow["cpu"] / fast["cpu"]
    ))  # fmt: skip
    print("50 MP by mobile.py  {:.1f} s, peak {}".format(
        large["seconds"], bar(large["peak_gb"], "GB", most=2)
    ))  # fmt: skip


def measured_command() -> None:
    """The command in this process, which then prints its CPU seconds and peak memory."""
    import atexit
    import runpy

    def report():
        # Not getrusage's: it begins at the peak of the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
        measured = {"peak_gb": peak * 1024 / 1e9, "cpu": time.process_time()}
        print(json.dumps(measured), flush=True)

    atexit.register(report)
    sys.argv = ["dped_jax.enhance", *sys.argv[2:]]
    runpy.run_module("dped_jax.enhance", run_name="__main__", alter_sys=True)


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=pathlib.Path)
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--megapixels", default="3.1,12", help="of the memory test, by comma; or none"
    )
    parser.add_argument("--turns", type=int, default=3, help="of the two networks; or 0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        if not options.workdir:
            import tiny

            model = tiny.random_generator(num_blocks=4, width=64)
            options.workdir = tiny.write_model(root / "model", *model)
        if not options.photo:
            options.photo = root / "photo.png"
            make_photo(options.photo, 2048 * 1536 / 1e6)
        if options.rounds:
            computing = print_speed(options.workdir, options.photo, options.rounds)
            runs = [run_command(options.workdir, options.photo, [])["seconds"] for _ in range(3)]
            whole = statistics.median(runs)
            print(f"the command, start to finish: {whole:.1f} s, {whole / computing:.2f} times "
                  "the computing in float32 (median of 3)")  # fmt: skip
        for megapixels in filter(None, options.megapixels.split(",")):
            photo = root / "large.jpg"
            make_photo(photo, float(megapixels), options.photo)
            for mode, flags in MEMORY_FLAGS.items():
                if float(megapixels) > 4 and mode not in ("default", "lowest", "lowest exact"):
                    continue
                run = run_command(options.workdir, photo, flags)
                print(f"{megapixels} MP, {mode} memory: peak {run['peak_gb']:.2f} GB, "
                      f"{run['seconds']:.0f} s", flush=True)  # fmt: skip
        if options.turns:
            print_mobile(root, options.photo, options.turns)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        measured_command()
    else:
        main()
