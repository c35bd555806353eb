"""Part of `make bench`: what enhancing a photograph costs, beside the network on it in one piece.

    python benchmarks/enhance.py [--photo=F] [--workdir=W] [--rounds=5] [--megapixels=3.1,12,50]
        [--turns=3]

Times are medians of rounds in which all ways take turns, as wall-clock and as CPU seconds: the
latter count where others use the machine. Errors are against the network in one piece. Memory is
the peak of fresh processes of the command. Without a workdir the network has the released
generator's shape and random weights. At last the command with `mobile.py`'s network and with the
released generator's take turns on 12 megapixels, beside what is asked of the first; and the command
with pyvips and onnxruntime, on one photograph and on twelve.
"""

import argparse
import json
import operator
import pathlib
import re
import shutil
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
        paths = [f"--workdir={workdir}", f"--input={photo}", f"--output={output}"]
        return run_measured(["--run", *paths, *flags])


def run_measured(words: list[str]) -> dict[str, float]:
    """Runs this file as `measured_command`, in a process of its own."""
    argv = [sys.executable, __file__, *words]
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


def print_beside_onnxruntime(root: pathlib.Path, source: pathlib.Path, turns: int) -> None:
    """Prints what a photograph and a folder of twelve take, in turns with pyvips and onnxruntime.

    The weights are those that training begins with, so that pictures remain photographs.
    """
    import jax
    import jax.numpy as jnp
    import tiny

    from configs import mobile
    from dped_jax.models.generator import make_generator

    config = mobile.get_config()
    key, images = jax.random.PRNGKey(0), jnp.zeros((1, 16, 16, 3))
    params = jax.jit(make_generator(config).init)(key, images)["params"]
    workdir = tiny.write_model(root / "untouched", config, {"params": params})
    photo, folder, output = root / "12.jpg", root / "twelve", root / "beside"
    make_photo(photo, 12, source)
    for path in (folder, output):
        path.mkdir()
    for i in range(12):
        shutil.copy(photo, folder / f"{i}.jpg")
    for pixels in ("float32", "uint8"):
        flags = [f"--workdir={workdir}", f"--output={root}/{pixels}.onnx", "--format=onnx"]
        argv = [sys.executable, "-m", "dped_jax.export", *flags, f"--pixels={pixels}"]
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    for name, given in (("one photograph", photo), ("twelve", folder)):
        ways = {"dped_jax.enhance": ["--run", f"--workdir={workdir}", "--overwrite"]}
        for pixels in ("float32", "uint8"):
            ways[f"onnxruntime {pixels}"] = ["--onnx", f"--model={root}/{pixels}.onnx"]
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(turns + 1):  # the first one fills the caches
            for way, flags in ways.items():
                target = output if given.is_dir() else output / "out.jpg"
                runs[way].append(run_measured([*flags, f"--input={given}", f"--output={target}"]))
        print(f"\n{name} of 12 MP by mobile.py's network, start to finish, in turns, of {turns}")
        medians = {
            way: {key: statistics.median(run[key] for run in measured[1:]) for key in measured[0]}
            for way, measured in runs.items()
        }
        for way, median in medians.items():
            print("{:<20}{seconds:>6.2f} s{cpu:>7.2f} CPU s, peak {peak_gb:.2f} GB".format(
                way, **median
            ))  # fmt: skip
        ours = medians.pop("dped_jax.enhance")
        best = min(medians.values(), key=operator.itemgetter("seconds"))
        ratio = bar(ours["seconds"] / best["seconds"], "", most=0.7 if given.is_dir() else 0.95)
        print(f"ratio {ratio}, {ours['cpu'] / best['cpu']:.2f} in CPU s")


def by_onnxruntime(model: str, source: pathlib.Path, target: pathlib.Path) -> None:
    """What a user would write to enhance a photograph or a folder with an exported file."""
    import numpy as np
    import onnxruntime
    import pyvips

    session = onnxruntime.InferenceSession(model)
    integers = "uint8" in session.get_inputs()[0].type
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        photo = pyvips.Image.new_from_file(str(path)).autorot().numpy()
        photo = photo if integers else photo.astype(np.float32) / 255
        (enhanced,) = session.run(None, {"photo": photo[None]})[0]
        if not integers:
            enhanced = np.uint8(np.round(np.clip(enhanced, 0, 1) * 255))
        output = target / path.name if target.is_dir() else target
        pyvips.Image.new_from_array(enhanced).write_to_file(str(output), Q=95)


def measured_command() -> None:
    """A command in this process, which then prints its CPU seconds and peak memory."""
    import atexit
    import runpy

    def report():
        # Not getrusage's: it begins at the peak of the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
        measured = {"peak_gb": peak * 1024 / 1e9, "cpu": time.process_time()}
        print(json.dumps(measured), flush=True)

    atexit.register(report)
    if sys.argv[1] == "--onnx":
        model, source, target = (word.partition("=")[2] for word in sys.argv[2:])
        by_onnxruntime(model, pathlib.Path(source), pathlib.Path(target))
        return
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
            print_beside_onnxruntime(root, options.photo, options.turns)


if __name__ == "__main__":
    if sys.argv[1:2] in (["--run"], ["--onnx"]):
        measured_command()
    else:
        main()
