"""`make stress`: training that is interrupted again and again ends as if it had not been.

    python benchmarks/stress.py [--terms=25] [--kills=20] [--seed=0] [--most=5] [--folder=D]

A tiny network is trained to its end, then again and again with SIGTERM or SIGKILL at random
moments, and the same command after each. Every time the exit code, the seconds to the end, the
checkpoint of the step that was told and the checksums of all checkpoints are looked at; when a run
has come to its end, its parameters and its metrics.jsonl have to be those of the undisturbed one.
"""

import argparse
import collections
import dataclasses
import itertools
import pathlib
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

from trainings import PHASES, STEPS, Server, Training, make_flags, newest

MOST_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a training that was sent a signal has ended, and how long that took."""

    phase: str
    code: int
    seconds: float
    cpu_seconds: float


def undisturbed(server: Server, flags: list[str], workdir: pathlib.Path) -> dict[str, float]:
    """Trains to the end; returns how many seconds the phases took."""
    training = Training(server, flags, workdir)
    at = []
    for phase in ("compiling", "stepping"):
        training.wait_for(lambda phase=phase: training.phase not in PHASES[: PHASES.index(phase)])
        at.append(time.monotonic() - training.started)
    if training.wait()[0]:
        sys.exit(training.err)
    stepping = (time.monotonic() - training.started - at[1]) / 4
    seconds = at[0], at[1] - at[0], stepping, stepping, 0.2, 0.05
    return dict(zip(PHASES, seconds, strict=True))


def interrupt(
    training: Training, number: int, phase: str, delay: float
) -> tuple[Ended | None, list[str]]:
    """Sends a signal some seconds after a phase was reached.

    Returns:
      How it ended, None where it was done before; and what is wrong.
    """
    is_there = phase == "starting" or training.wait_for(lambda: training.phase == phase)
    end = time.monotonic() + delay
    if not is_there or not training.wait_for(lambda: time.monotonic() > end):
        return None, [training.err] if training.wait()[0] else []
    reached = max((step for step, _ in training.lines()), default=training.first)
    phase, taken, sent = training.phase, training.cpu_seconds(), time.monotonic()
    training.send(number)
    code, cpu_seconds = training.wait()
    ended = Ended(phase, code, time.monotonic() - sent, cpu_seconds - taken)
    problems = list(term_problems(training, ended, reached)) if number == signal.SIGTERM else []
    if newest(training.workdir) < training.first:
        problems.append(f"newest checkpoint {newest(training.workdir)}, {training.first} before")
    return ended, problems


def term_problems(training: Training, ended: Ended, reached: int) -> Iterator[str]:
    """What is wrong with how a training ended on SIGTERM that had logged a step at least."""
    err, saved = training.err, newest(training.workdir)
    expected = {
        0: STEPS if saved == STEPS else None,
        143: saved if err.endswith("interrupted: start the same command again") else None,
        75: None,
        # All is done, and Python, which ends, has given up the signal: a shell says 143.
        -signal.SIGTERM: STEPS if saved == STEPS else None,
    }
    if told := re.search(r"^stopped: SIGTERM: step (\d+) of", err, re.MULTILINE):
        expected[75] = int(told[1])
    if expected.get(ended.code) != saved or saved < reached or "Traceback" in err:
        yield f"code {ended.code}, checkpoint {saved}, step {reached} reached: {err}"
    if min(ended.seconds, ended.cpu_seconds) > MOST_SECONDS:  # other programs may be running
        yield f"took {ended.seconds:.1f} s to end, {ended.cpu_seconds:.1f} CPU s"


def unreadable(workdir: pathlib.Path) -> Iterator[str]:
    """Checks every checkpoint of a workdir, and that none was put aside."""
    from dped_jax import checkpoint

    if (workdir / "unreadable").exists():
        yield f"put aside: {sorted(path.name for path in (workdir / 'unreadable').iterdir())}"
    for step in checkpoint.list_steps(workdir):
        try:
            checkpoint.restore(workdir, step, ["generator", "training"])
        except checkpoint.UnreadableError as error:
            yield f"checkpoint {step}: {error}"


def differences(one: pathlib.Path, other: pathlib.Path) -> Iterator[str]:
    """Compares two workdirs that were trained to the end."""
    import numpy as np
    import tiny

    from dped_jax import checkpoint

    items = ["generator", "training"]
    here, there = (checkpoint.restore(workdir, STEPS, items) for workdir in (one, other))
    for item in items:
        for path in sorted(here[item].keys() | there[item].keys()):
            if not np.array_equal(here[item].get(path), there[item].get(path)):
                yield f"{item}/{path} differs"
    if tiny.logged(one) != tiny.logged(other):
        yield f"{one}/metrics.jsonl differs from {other}/metrics.jsonl"


def stress(
    root: pathlib.Path, numbers: dict[int, int], most: int, seed: int
) -> tuple[dict[int, list[Ended]], list[str]]:
    """Interrupts runs so many times by each signal.

    Args:
      root: an empty folder.
      numbers: how often each signal is to be sent.
      most: interruptions of one run, by one kind of signal.
      seed: of the moments.

    Returns:
      How each interruption ended, by signal, and what was wrong.
    """
    rng, flags, problems = random.Random(seed), make_flags(root), []
    ended: dict[int, list[Ended]] = {number: [] for number in numbers}
    with Server(root / "cache") as server:
        seconds = undisturbed(server, flags, root / "whole")
        for number, wanted in numbers.items():
            phases = itertools.cycle(rng.sample(PHASES, len(PHASES)))
            for run in itertools.count():
                if len(ended[number]) >= wanted:
                    break
                workdir = root / f"{signal.Signals(number).name}_{run}"
                left, is_done = min(most, wanted - len(ended[number])), False
                while left and not is_done:
                    phase = next(phases)
                    training = Training(server, flags, workdir, phase)
                    delay = rng.uniform(0, seconds[phase])
                    how, wrong = interrupt(training, number, phase, delay)
                    wrong += unreadable(workdir)
                    problems += [f"{workdir.name}, {phase}: {problem}" for problem in wrong]
                    is_done, left = how is None or how.code == 0, left - 1
                    if how:
                        ended[number].append(how)
                        print(f"{workdir.name}: {how}, step {newest(workdir)}", *wrong, flush=True)
                undisturbed(server, flags, workdir)
                found = [*unreadable(workdir), *differences(workdir, root / "whole")]
                problems += [f"{workdir.name}: {problem}" for problem in found]
    return ended, problems


def main() -> None:
    """Runs the stress and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--terms", type=int, default=25, help="how many SIGTERM")
    parser.add_argument("--kills", type=int, default=20, help="how many SIGKILL")
    parser.add_argument("--most", type=int, default=5, help="interruptions of one run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", help="where the runs are kept; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(options.folder or temporary)
        root.mkdir(parents=True, exist_ok=True)
        numbers = {signal.SIGTERM: options.terms, signal.SIGKILL: options.kills}
        ended, problems = stress(root, numbers, options.most, options.seed)
    for number, all_of_it in ended.items():
        print(f"\n{signal.Signals(number).name}: {len(all_of_it)}")
        for phase in PHASES:
            those = [how for how in all_of_it if how.phase == phase]
            codes = dict(collections.Counter(how.code for how in those))
            longest = max((how.seconds for how in those), default=0)
            cpu = max((how.cpu_seconds for how in those), default=0)
            longest = f"longest {longest:.1f} s, {cpu:.1f} CPU s" if those else ""
            print(f"  {phase:21} {len(those):3}  exit codes {codes}  {longest}")
    print("\n".join(["", *problems, f"{len(problems)} problems"]))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
