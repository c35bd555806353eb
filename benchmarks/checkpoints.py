"""What a checkpoint of the release's state costs training; part of `make bench`.

    python benchmarks/checkpoints.py [--saves=12] [--seconds=5]

Networks, optimizer states and all else that `configs/release.py` saves, on this machine's default
device. A step waits for the copy to the host and its checksums; the rest is done in the background.
Nothing else runs here in between, as on an accelerator that makes the steps.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]


def time_saves(saves: int, seconds: float) -> tuple[int, list[float], list[float], list[float]]:
    """Saves so many times.

    Args:
      saves: how many, after one that does not count.
      seconds: between the end of one and the next.

    Returns:
      Bytes of a state, and of each save the seconds that a step waits, the CPU seconds that this
      process takes meanwhile in all its threads, and the seconds until it is written.
    """
    import jax

    from configs import release
    from dped_jax import checkpoint
    from dped_jax.train import saved_state
    from dped_jax.train.devices import choose_devices, replicate
    from dped_jax.train_state import create_train_state

    config = release.get_config()
    state = create_train_state(config, jax.random.PRNGKey(0))
    first, num_bytes = state.step, sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    state = replicate(state, choose_devices(1))
    waits, cpus, totals = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        checkpoint.open_manager(pathlib.Path(folder)) as manager,
    ):
        for step in range(saves + 1):
            position = saved_state.Position({"next_index": step})
            start, cpu = time.perf_counter(), time.process_time()
            saved_state.save_state(manager, state.replace(step=first + step), position, None)
            waits.append(time.perf_counter() - start)
            cpus.append(time.process_time() - cpu)
            checkpoint.finish(manager)
            totals.append(time.perf_counter() - start)
            time.sleep(seconds)
    return num_bytes, waits[1:], cpus[1:], totals[1:]


def main() -> None:
    """Prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--saves", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0, help="between two saves")
    options = parser.parse_args()
    num_bytes, waits, cpus, totals = time_saves(options.saves, options.seconds)
    print(f"\nA checkpoint of release.py, {num_bytes / 1e6:.0f} MB ({options.saves} saves)")
    named = {"a step waits": waits, "CPU seconds meanwhile": cpus, "until it is written": totals}
    for name, values in named.items():
        median, most = statistics.median(values), max(values)
        share = f"{median / 60:.2%}, {most / 60:.2%} of the time at one a minute"
        print(f"{name:21} median {median:.2f} s, longest {most:.2f} s: {share}")


if __name__ == "__main__":
    main()
