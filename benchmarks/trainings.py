"""Trainings of a tiny network that `stress.py` starts, and what they are at.

They are forked from one process that has imported what they need, which takes longer than to train;
those that are to be interrupted while they start are the command itself.
"""

import importlib
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PHASES = ("starting", "compiling", "stepping", "in a call of 8 steps", "validating", "saving")
STEPS, SAVED_EVERY, SCORED_EVERY = 32, 8, 16


def make_flags(root: pathlib.Path) -> list[str]:
    """Builds a dataset; the flags of a training on it."""
    import tiny
    from flax.traverse_util import flatten_dict

    tiny.write_pairs(root / "pairs", 24)
    sides = [f"--{side}_dir={root}/pairs/{side}" for side in ("phone", "dslr")]
    splits = ["--phone=custom", "--test_pairs=2", "--validation_pairs=6"]
    built = tiny.command("data_builders.dped.build", *sides, *splits, f"--data_dir={root}/tfds")
    if built.returncode:
        sys.exit(built.stderr)
    config = tiny.tiny_config(root / "tfds")
    config.data.flip = config.data.transpose = True
    config.train.update({"ema_decay": 0.9, "discriminator_batch": "next", "num_steps": STEPS})
    config.train.update({"log_every_steps": 3, "keep_checkpoints": 2})
    config.train.checkpoint_every_steps, config.train.eval_every_steps = SAVED_EVERY, SCORED_EVERY
    fields = flatten_dict(config.to_dict(), sep=".")
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    return ["--config=configs/paper.py", *flags]


def newest(workdir: pathlib.Path) -> int:
    """Step of the newest checkpoint, 0 where there is none."""
    from dped_jax import checkpoint

    return max(checkpoint.list_steps(workdir), default=0)


class Server:
    """The process that trainings are forked from, one at a time."""

    def __init__(self, cache: pathlib.Path):
        compiled = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | compiled | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        )  # fmt: skip

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def tell(self, *task: object) -> None:
        """Hands over a training: what `serve` takes."""
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """The next answer: a training's number, then its exit code and its CPU seconds."""
        return json.loads(self.process.stdout.readline())


def serve() -> None:
    """Starts a training for each line of stdin."""
    import jax

    importlib.import_module("dped_jax.train.loop")  # for those that are forked
    for line in sys.stdin:
        argv, is_fresh, is_compiled, out, err = json.loads(line)
        child = os.fork()
        if not child:
            for number, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            if is_fresh:
                os.execv(sys.executable, [sys.executable, "-m", "dped_jax.train", *argv])
            jax.config.update("jax_enable_compilation_cache", is_compiled)
            sys.argv[1:] = argv
            runpy.run_module("dped_jax.train", run_name="__main__", alter_sys=True)
            return
        print(child, flush=True)
        _, status, usage = os.wait4(child, 0)
        print([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime], flush=True)


class Training:
    """One start of the command in a workdir."""

    def __init__(self, server: Server, flags: list[str], workdir: pathlib.Path, phase: str = ""):
        """Starts it; `phase` is where it will be interrupted."""
        self.workdir, self.first = workdir, newest(workdir)
        self.steps_per_call = {"stepping": 1, "in a call of 8 steps": 8}.get(phase, 4)
        self._server, self._files = (
            server,
            (workdir.with_suffix(".out"), workdir.with_suffix(".err")),
        )
        argv = [
            *flags,
            f"--workdir={workdir}",
            f"--config.train.steps_per_call={self.steps_per_call}",
        ]
        for file in self._files:
            file.write_text("")
        server.tell(argv, phase == "starting", phase != "compiling", *map(str, self._files))
        self._number, self.started = server.answer(), time.monotonic()

    @property
    def err(self) -> str:
        """What it has printed to stderr, but for the progress bar."""
        lines = re.split("[\r\n]", self._files[1].read_text())
        return "\n".join(line for line in lines if line and "pairs/s" not in line)

    @property
    def phase(self) -> str:
        """What it is at, as far as files tell."""
        if "devices" not in self._files[0].read_text():
            return "starting"
        lines = self.lines()
        if not lines:
            return "compiling"
        if any((self.workdir / "checkpoints").glob("*tmp*")):
            return "saving"
        if lines[-1][0] % SCORED_EVERY == 0 and lines[-1][1] == "train":
            return "validating"
        return "stepping" if self.steps_per_call == 1 else "in a call of 8 steps"

    def lines(self) -> list[tuple[int, str]]:
        """(step, group) of the lines of metrics.jsonl that this start has written."""
        file = self.workdir / "metrics.jsonl"
        whole = re.findall(r".*\n", file.read_text() if file.exists() else "")
        lines = [(line["step"], line["group"]) for line in map(json.loads, whole)]
        return [(step, group) for step, group in lines if step > self.first]

    def cpu_seconds(self) -> float:
        """What it has taken, until now."""
        try:
            fields = pathlib.Path(f"/proc/{self._number}/stat").read_text().rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Whether the condition came true before the end of the process."""
        while pathlib.Path(f"/proc/{self._number}").exists():
            if condition():
                return True
            time.sleep(0.005)
        return False

    def send(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self._number, number)

    def wait(self) -> tuple[int, float]:
        """Waits for its end: its exit code and its CPU seconds."""
        return self._server.answer()


if __name__ == "__main__":
    serve()
