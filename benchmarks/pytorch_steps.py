"""`make bench`: the train step in turns with a plain PyTorch step of the same networks and losses.

    python benchmarks/pytorch_steps.py [--rounds=5] [--only=release:8]

Each has a process of its own, which waits while the other computes. Both start from the same
parameters and batches, and begin with the same loss. Wall and CPU seconds of a step are medians of
rounds, and the ratio the median of each round's.
"""

import argparse
import importlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
CASES = ("release:8", "mobile:5", "mobile:10")
SECONDS = 4.0  # of a turn, about


def config_of(case: str) -> Any:
    """The config of a case, with random VGG weights and the learning rate of its middle."""
    name, batch_size = case.split(":")
    config = importlib.import_module(f"configs.{name}").get_config()
    config.vgg.weights, config.train.batch_size = "random", int(batch_size)
    config.train.schedule, config.train.warmup_steps = "constant", 0
    return config


def make_ours(config: Any, folder: pathlib.Path) -> Callable[[], float]:
    """A function that makes a step and gives its loss; writes what PyTorch starts from."""
    import jax
    from flax.traverse_util import flatten_dict

    from dped_jax.train.devices import choose_devices, map_steps, replicate
    from dped_jax.train.feeds import StreamedBatches
    from dped_jax.train.loop import load_vgg
    from dped_jax.train_state import create_train_state

    batch_size = config.train.batch_size
    devices = choose_devices(batch_size)
    feed = StreamedBatches(config, devices)
    rng = np.random.default_rng(0)
    batches = [make_pairs(rng, batch_size) for _ in range(feed.per_step)]
    state, vgg_params = create_train_state(config, jax.random.PRNGKey(0)), load_vgg(config)
    kept = {"generator": state.generator.params, "vgg": vgg_params}
    if state.discriminator:
        kept["discriminator"] = state.discriminator.params
    trees = {name: tree for name, tree in kept.items() if tree}
    np.savez(folder / "params.npz", **flatten_dict(jax.device_get(trees), sep="/"))
    for k, batch in enumerate(batches):
        np.savez(folder / f"batch{k}.npz", **batch)
    inputs = feed.place(batches)
    state, vgg_params = replicate((state, vgg_params), devices)
    step = map_steps(config, devices, feed)

    def make_step() -> float:
        nonlocal state
        state, metrics = step(state, inputs, vgg_params, None)
        return float(jax.block_until_ready(metrics["total"])[0])

    return make_step


def make_pairs(rng: np.random.Generator, batch_size: int) -> dict[str, np.ndarray]:
    """Pairs of soft random pictures; the DSLR's are brighter."""
    coarse = rng.uniform(30, 200, (batch_size, 10, 10, 3)).repeat(10, 1).repeat(10, 2)
    detail = rng.uniform(-30, 30, coarse.shape)
    return {"phone": np.uint8(coarse + 0.5 * detail), "dslr": np.uint8(coarse + detail + 25)}


def make_pytorch(config: Any, folder: pathlib.Path) -> Callable[[], float]:
    """As `make_ours`, which has written to the folder."""
    sys.path[:0] = [str(ROOT / "benchmarks")]
    import in_pytorch

    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, array in np.load(folder / "params.npz").items():
        network, _, parameter = key.partition("/")
        arrays.setdefault(network, {})[parameter] = array
    params = {network: in_pytorch.tensors(each) for network, each in arrays.items()}
    for tensor in params.get("vgg", {}).values():
        tensor.requires_grad_(False)
    loaded = [np.load(file) for file in sorted(folder.glob("batch*.npz"))]
    batches = [(each["phone"], each["dslr"]) for each in loaded]
    make_steps = in_pytorch.release_steps if config.loss.texture else in_pytorch.mobile_steps
    steps = make_steps(params, config.loss.to_dict())
    next(steps)
    return lambda: steps.send(batches)


MAKERS = {"ours": make_ours, "pytorch": make_pytorch}


def serve(side: str, case: str, folder: pathlib.Path) -> None:
    """Makes as many steps as each line of the input says; writes a line of figures for each."""
    from dped_jax.base.memory import keep_freed_memory

    if side == "ours":
        keep_freed_memory()  # as the command does
    make_step = MAKERS[side](config_of(case), folder)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        found = [make_step() for _ in range(int(line))]
        spent = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([found[0], *(each / len(found) for each in spent)]), flush=True)


def measure(case: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds a step of every round, by side."""
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in MAKERS}
    with tempfile.TemporaryDirectory() as folder:
        processes = {}

        def turn(side: str, steps: int) -> list[float]:
            print(steps, file=processes[side].stdin, flush=True)
            line = processes[side].stdout.readline()
            if not line:
                sys.exit(f"{case}: {side} ended with {processes[side].wait()}")
            return json.loads(line)

        try:
            first, num = {}, {}
            for side in MAKERS:
                command = [sys.executable, __file__, f"--serve={side}", case, folder]
                processes[side] = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                first[side] = turn(side, 1)[0]
                num[side] = max(1, round(SECONDS / turn(side, 2)[1]))
            if not np.isclose(*first.values(), rtol=1e-3):
                sys.exit(f"{case}: first losses {first}: not the same step")
            for _ in range(rounds):
                for side in MAKERS:
                    found[side].append(tuple(turn(side, num[side])[1:]))
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
    return found


def main() -> None:
    """Prints the table, or serves one side of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--serve", choices=MAKERS)
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.rest[0], pathlib.Path(options.rest[1]))
        return
    print("Train step in turns with PyTorch, seconds a step")
    print("config:batch    ours  PyTorch  ratio  CPU s ours  PyTorch  ratio")
    for case in options.only or CASES:
        found = measure(case, options.rounds)
        row = f"{case:<12}"
        for k in range(2):
            seconds = {side: [each[k] for each in found[side]] for side in MAKERS}
            ratio = statistics.median(map(np.divide, seconds["ours"], seconds["pytorch"]))
            row += "".join(f"{statistics.median(each):>9.3f}" for each in seconds.values())
            row += f"{ratio:>8.2f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
