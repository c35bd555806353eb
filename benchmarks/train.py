"""`make bench`: what a train step costs with each config, and what the data path delivers.

    python benchmarks/train.py [--batch_size=4] [--steps=5] [--steps_per_call=1] [--remat]
        [--compute_dtype=float32] [--matmul_precision=default] [--pairs=20000] [--data_only]

Steps run on this machine's default devices, with random VGG-19 weights. FLOPs are those that XLA
counts before it compiles a step. Each config has a process of its own, whose peak memory is
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
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
CONFIGS = ("paper", "release", "small", "mobile")


def bench_step(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Times the train step of a config in this process."""
    import jax
    import numpy as np

    from dped_jax.train.devices import choose_devices, map_steps, replicate
    from dped_jax.train.feeds import StreamedBatches
    from dped_jax.train.loop import load_vgg
    from dped_jax.train_state import create_train_state
    from dped_jax.train_step import count_flops

    batch_size, calls = options.batch_size, options.steps
    jax.config.update("jax_enable_compilation_cache", False)
    config = importlib.import_module(f"configs.{name}").get_config()
    config.vgg.weights = "random"
    config.train.batch_size, config.compute_dtype = batch_size, options.compute_dtype
    config.matmul_precision, config.train.remat = options.matmul_precision, options.remat
    devices = choose_devices(batch_size)
    patches = np.random.default_rng(0).integers(0, 256, (batch_size, 100, 100, 3), np.uint8)
    batch = {"phone": patches, "dslr": patches[:, ::-1]}
    feed = StreamedBatches(config, devices)
    inputs = feed.place([batch] * feed.per_step * options.steps_per_call)
    vgg_params = replicate(load_vgg(config), devices)
    state = replicate(create_train_state(config, jax.random.PRNGKey(0)), devices)
    step = map_steps(config, devices, feed)
    flops = count_flops(config, state, vgg_params)
    seconds = []
    for _ in range(calls + 1):  # the first one compiles
        start = time.perf_counter()
        state, metrics = step(state, inputs, vgg_params, None)
        jax.block_until_ready((state, metrics))
        seconds.append((time.perf_counter() - start) / options.steps_per_call)
    return {
        "gflops_per_patch": flops / batch_size / 1e9,
        "gflops_per_step": flops / 1e9,
        "seconds_per_step": statistics.median(seconds[1:]),
        "compile_seconds": options.steps_per_call * seconds[0],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def print_steps(options: argparse.Namespace, arguments: list[str]) -> None:
    """Prints the table of train steps; `arguments` are this program's own."""
    batch_size = options.batch_size
    print(f"Train step, {batch_size} pairs of 100x100 a step")
    print("config    GFLOP/patch  GFLOP/step  s/step  patches/s  TFLOP/s  peak GB  compile s")
    for name in CONFIGS:
        command = [sys.executable, __file__, *arguments, "--one", name]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{name}:\n{result.stderr}")
        row = json.loads(result.stdout.splitlines()[-1])
        print(
            f"{name:<9}{row['gflops_per_patch']:>12.2f}{row['gflops_per_step']:>12.1f}"
            f"{row['seconds_per_step']:>8.2f}{batch_size / row['seconds_per_step']:>11.2f}"
            f"{row['gflops_per_step'] / row['seconds_per_step'] / 1e3:>9.2f}"
            f"{row['peak_gb']:>9.2f}{row['compile_seconds']:>11.1f}",
            flush=True,
        )


def print_data(num_pairs: int) -> None:
    """Builds a TFDS dataset of generated pairs with the command, and reads batches from it."""
    import tiny

    from configs import paper
    from dped_jax import input_pipeline
    from dped_jax.train.decoded import open_decoded
    from dped_jax.train.fingerprint import fingerprint

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
        known = fingerprint(*(dataset := (f"{root}/tfds", "custom")))
        start = time.perf_counter()
        pairs = open_decoded(*dataset, known)
        seconds = time.perf_counter() - start
        print(f"Decoded once: {len(pairs)} pairs in {seconds:.1f} s, {len(pairs) / seconds:,.0f} "
              "pairs/s, written to disk")  # fmt: skip
        for source, load in (("JPEG", None), ("decoded", pairs.load)):
            for flip in (False, True):
                config.data.flip = flip
                batches = input_pipeline.train_batches(config, load)
                rate = rate_of(lambda batches=batches: next(batches), config.train.batch_size)
                print(f"Batches of the host, {source}, flip={flip}: {rate:,.0f} pairs/s")
        print_calls(config, pairs)


def rate_of(draw: Callable[[], object], num_pairs: int) -> float:
    """Pairs a second of calls that give so many each: median of 5 runs of 40 calls."""
    draw()
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(40):
            draw()
        rates.append(40 * num_pairs / (time.perf_counter() - start))
    return statistics.median(rates)


def print_calls(config, pairs) -> None:
    """What calls of 10 steps cost where the network is next to nothing: the mean of a batch.

    As in training, the next call is placed while the devices work.
    """
    import jax
    import jax.numpy as jnp

    from dped_jax.pixels import to_float
    from dped_jax.train import devices, feeds

    def mean(state, batch, vgg_params):
        total = jnp.mean(to_float(batch["phone"])) + jnp.mean(to_float(batch["dslr"]))
        return state + total, {"total": total}

    devices.make_train_step = lambda config: mean
    used = devices.choose_devices(config.train.batch_size)
    size = 10 * config.train.batch_size
    for name in ("StreamedBatches", "PairsOnDevices"):
        feed = getattr(feeds, name)(config, used, pairs)
        batches, steps = feed.iterate(), devices.map_steps(config, used, feed)

        def place(feed=feed, batches=batches):
            return feed.place([next(batches) for _ in range(10)])

        def call(inputs, feed=feed, steps=steps):
            return steps(devices.replicate(jnp.zeros(()), used), inputs, None, feed.held)

        inputs = [place()]

        def call_and_place(call=call, inputs=inputs, place=place):
            result = call(inputs.pop())
            inputs.append(place())
            jax.block_until_ready(result)

        placed = inputs[0]
        alone = rate_of(lambda call=call, it=placed: jax.block_until_ready(call(it)), size)
        whole = rate_of(call_and_place, size)
        host = 1e3 * size * (1 / whole - 1 / alone) / 10
        print(f"Calls of 10 steps, {name}, flip={config.data.flip}: {alone:,.0f} pairs/s computed, "
              f"{whole:,.0f} with the host's part, {host:.2f} ms a step")  # fmt: skip


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
    from dped_jax.base.memory import keep_freed_memory

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="calls that are timed")
    parser.add_argument("--steps_per_call", type=int, default=1)
    parser.add_argument("--compute_dtype", default="float32")
    parser.add_argument("--matmul_precision", default="default")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--one", choices=CONFIGS)
    parser.add_argument("--data_only", action="store_true", help="no train steps")
    options = parser.parse_args()
    keep_freed_memory()  # as the command does
    if options.one:
        print(json.dumps(bench_step(options.one, options)))
        return
    if not options.data_only:
        print_steps(options, sys.argv[1:])
    print_data(options.pairs)


if __name__ == "__main__":
    main()
