"""`make bench`: what a train step costs with each config, and what the data path delivers.

    python benchmarks/train.py [--batch_size=4] [--steps=5] [--pairs=20000]

Steps run on this machine's default devices, with random VGG-19 weights. FLOPs are those that the
compiler counts in the compiled step. Each config has a process of its own, whose peak memory is
given. Times are medians.
"""

import argparse
import importlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
CONFIGS = ("paper", "release", "small", "mobile")


def bench_step(name: str, batch_size: int, steps: int) -> dict[str, float]:
    """Times the train step of a config in this process."""
    import jax
    import numpy as np

    from dped_jax.train.devices import choose_devices, map_steps, replicate
    from dped_jax.train.feeds import StreamedBatches
    from dped_jax.train.loop import load_vgg
    from dped_jax.train_state import create_train_state

    jax.config.update("jax_enable_compilation_cache", False)
    config = importlib.import_module(f"configs.{name}").get_config()
    config.vgg.weights = "random"
    devices = choose_devices(batch_size)
    patches = np.random.default_rng(0).integers(0, 256, (batch_size, 100, 100, 3), np.uint8)
    batch = {"phone": patches, "dslr": patches[:, ::-1]}
    feed = StreamedBatches(config, devices)
    inputs = feed.place([batch, batch][: 2 if config.train.discriminator_batch == "next" else 1])
    vgg_params = replicate(load_vgg(config), devices)
    state = replicate(create_train_state(config, jax.random.PRNGKey(0)), devices)
    step = map_steps(config, devices, feed)
    start = time.perf_counter()
    compiled = step.lower(state, inputs, vgg_params, None).compile()
    compile_seconds = time.perf_counter() - start
    flops = compiled.cost_analysis()["flops"] * len(devices)
    seconds = []
    for _ in range(steps + 1):  # the first one is a warm-up
        start = time.perf_counter()
        state, metrics = step(state, inputs, vgg_params, None)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - start)
    return {
        "gflops_per_patch": flops / batch_size / 1e9,
        "gflops_per_step": flops / 1e9,
        "seconds_per_step": statistics.median(seconds[1:]),
        "compile_seconds": compile_seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def print_steps(batch_size: int, steps: int) -> None:
    """Prints the table of train steps."""
    print(f"Train step, {batch_size} pairs of 100x100 a step")
    print("config    GFLOP/patch  GFLOP/step  s/step  patches/s  peak GB  compile s")
    for name in CONFIGS:
        arguments = ["--one", name, f"--batch_size={batch_size}", f"--steps={steps}"]
        result = subprocess.run(
            [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
        )
        if result.returncode:
            sys.exit(f"{name}:\n{result.stderr}")
        row = json.loads(result.stdout.splitlines()[-1])
        print(
            f"{name:<9}{row['gflops_per_patch']:>12.2f}{row['gflops_per_step']:>12.1f}"
            f"{row['seconds_per_step']:>8.2f}{batch_size / row['seconds_per_step']:>11.2f}"
            f"{row['peak_gb']:>9.2f}{row['compile_seconds']:>11.1f}",
            flush=True,
        )


def print_data(num_pairs: int) -> None:
    """Builds a TFDS dataset of generated pairs with the command, and reads batches from it."""
    import tiny

    from configs import paper
    from dped_jax import input_pipeline

    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        write_photo_patches(root / "pairs", num_pairs)
        flags = [f"--{side}_dir={root}/pairs/{side}" for side in ("phone", "dslr")]
        flags += ["--phone=custom", "--test_pairs=1000", f"--data_dir={root}/tfds"]
        start = time.perf_counter()
        result = tiny.command("data_builders.dped.build", *flags)
        seconds = time.perf_counter() - start
        if result.returncode:
            sys.exit(result.stderr)
        print(f"\nTFDS build, every file checked: {num_pairs} pairs in {seconds:.1f} s, "
              f"{num_pairs / seconds:,.0f} pairs/s (the whole process)")  # fmt: skip
        config = paper.get_config()
        config.data.data_dir, config.data.phone = f"{root}/tfds", "custom"
        for flip in (False, True):
            config.data.flip = flip
            batches = input_pipeline.train_batches(config)
            next(batches)
            rates = []
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(40):
                    next(batches)
                rates.append(40 * config.train.batch_size / (time.perf_counter() - start))
            print(f"Input pipeline, flip={flip}: {statistics.median(rates):,.0f} pairs/s "
                  f"(median of 5 runs of 40 batches of {config.train.batch_size})")  # fmt: skip


def write_photo_patches(folder: pathlib.Path, num_pairs: int) -> None:
    """JPEG patches as heavy as real ones: cut from photographs that scikit-image ships."""
    import cv2
    import numpy as np
    import skimage.data

    photos = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")]
    rng = np.random.default_rng(0)
    for side in ("phone", "dslr"):
        (folder / side).mkdir(parents=True)
    for i in range(num_pairs):
        photo = photos[i % len(photos)]
        y, x = (rng.integers(0, length - 99) for length in photo.shape[:2])
        patch = np.ascontiguousarray(photo[y : y + 100, x : x + 100, ::-1])
        for side, quality in (("phone", 90), ("dslr", 95)):
            encoded = cv2.imencode(".jpg", patch, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            encoded.tofile(folder / side / f"{i}.jpg")


def main() -> None:
    """Runs everything, or one config in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--one", choices=CONFIGS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(bench_step(options.one, options.batch_size, options.steps)))
        return
    print_steps(options.batch_size, options.steps)
    print_data(options.pairs)


if __name__ == "__main__":
    main()
