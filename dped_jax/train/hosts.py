"""Several processes that train together: how they find each other, agree, and notice a loss.

All ends within stated times and with a line on every host: processes that do not find each other,
that were started with something else than process 0, and that end, stall or vanish in the middle.
"""

import atexit
import contextlib
import hashlib
import json
import os
import pathlib
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict
from jax._src import distributed

from dped_jax.base import command, errors
from dped_jax.base.errors import InputError

BEAT_SECONDS = 1.0  # between two signs of life
_ALIVE, _STARTED = "dped_jax/alive/", "dped_jax/started/"
_DONE = "done"


def _end(line: str) -> None:
    """Ends this process, whatever its other threads wait for."""
    print(f"error: {' '.join(line.split())}", file=sys.stderr, flush=True)
    os._exit(command.AGAIN)


def _check_flags(coordinator: str | None, num: int | None, index: int | None) -> None:
    if not coordinator:
        if num is not None or index is not None:
            raise InputError("--num_processes and --process_id: need --coordinator=HOST:PORT")
        return
    if coordinator == "auto":
        return
    if not re.fullmatch(r".+:\d+", coordinator):
        raise InputError(f"--coordinator={coordinator}: write HOST:PORT of process 0, or auto")
    if num is None or index is None:
        raise InputError(f"--coordinator={coordinator}: needs --num_processes and --process_id")
    if not 0 <= index < num:
        raise InputError(f"--process_id={index}: use 0 to {num - 1}, of --num_processes={num}")


@contextlib.contextmanager
def joined(
    coordinator: str | None,
    num: int | None,
    index: int | None,
    *,
    connect_seconds: int,
    peer_seconds: int,
) -> Iterator[None]:
    """Makes this process one of several that train together, for as long as the context lasts.

    Args:
      coordinator: "host:port" of process 0, or "auto" where the cluster tells (TPU pods, Slurm,
        Open MPI); None for one process.
      num: how many; needed with "host:port".
      index: from 0; needed with "host:port".
      connect_seconds: how long to wait for the others at the start.
      peer_seconds: how long a process may give no sign of life.

    Raises:
      InputError: the flags do not fit together, or the cluster does not tell.
    """
    _check_flags(coordinator, num, index)
    if not coordinator:
        yield
        return
    who = "" if num is None else f"process {index} of {num} "
    waiting = threading.Timer(
        connect_seconds,
        _end,
        [
            f"--coordinator={coordinator}: {who}has not found the others within "
            f"--connect_seconds={connect_seconds}; is the address that of process 0, can it be "
            "reached from here, and were all processes started?"
        ],
    )
    waiting.daemon = True
    waiting.start()
    # The runtime would end processes too, but with a stack of its own instead of a line.
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            num,
            index,
            initialization_timeout=connect_seconds + 30,
            heartbeat_timeout_seconds=2 * peer_seconds + 10,
            shutdown_timeout_seconds=30,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--coordinator={coordinator}: {error}") from error
    finally:
        waiting.cancel()
    watch = _Watch(peer_seconds)
    try:
        yield
    except errors.StoppedError:  # all processes together
        watch.leave(_DONE)
        raise
    except BaseException as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in reason:
            time.sleep(peer_seconds + 5 * BEAT_SECONDS)  # a lost process is named by the watch
            watch.leave(reason)
            _end(f"the processes have lost each other ({reason}); start all of them again")
        watch.leave(reason)
        raise
    watch.leave(_DONE)


class _Watch:
    """Signs of life of all processes, kept by process 0; ends this process when one is lost."""

    def __init__(self, peer_seconds: float):
        self._client: Any = distributed.global_state.client
        self._own = f"{_ALIVE}{jax.process_index()}"
        self._peer_seconds = peer_seconds
        self._heard = now = time.monotonic()  # when process 0 answered
        # What a process said, and when that was new.
        self._last = {f"{_ALIVE}{index}": ("0", now) for index in range(jax.process_count())}
        self._is_over = threading.Event()
        for work in (self._beat, self._check):
            threading.Thread(target=work, daemon=True).start()

    def _say(self, text: str) -> None:
        self._client.key_value_set(self._own, text, allow_overwrite=True)

    def _beat(self) -> None:
        count = 0
        while not self._is_over.wait(BEAT_SECONDS):
            count += 1
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # `_check` counts the seconds
                self._say(str(count))
                said = dict(self._client.key_value_dir_get(_ALIVE))
                self._heard = now = time.monotonic()
                for key, text in said.items():
                    if self._last[key][0] != text:
                        self._last[key] = text, now

    def _check(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            now = time.monotonic()
            if now - self._heard > self._peer_seconds:
                _end(
                    f"process 0 has not answered for --peer_seconds={self._peer_seconds:g}; start "
                    "all processes again"
                )
            for key, (text, since) in list(self._last.items()):
                name = f"process {key.rsplit('/', 1)[1]}"
                if not text.isdigit() and text != _DONE and key != self._own:
                    _end(f"{name} has ended: {text}")
                if text != _DONE and now - since > self._peer_seconds:
                    _end(
                        f"{name} has given no sign of life for --peer_seconds="
                        f"{self._peer_seconds:g}; start all processes again"
                    )

    def leave(self, text: str) -> None:
        """Says the last word; process 0 stays until the others have heard it."""
        self._is_over.set()
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            self._say(text)
            if text != _DONE and jax.process_index() == 0:
                time.sleep(4 * BEAT_SECONDS)
        if text != _DONE:
            # Nobody waits for this process any more, and it waits for nobody.
            atexit.register(os._exit, 1)


def wait_for_all(what: str) -> None:
    """Waits until all processes are there, however long one takes; a lost one the watch notices."""
    if jax.process_count() > 1:
        client: Any = distributed.global_state.client
        client.wait_at_barrier(f"dped_jax/{what}", 86_400_000)


def connect(devices: Sequence[jax.Device]) -> None:
    """Connects all processes for sums over devices, before they compile, at speeds of their own.

    The library of CPUs (gloo) waits 30 s for the others, when it connects and never again.
    """
    if jax.process_count() > 1:
        wait_for_all("nothing is compiled yet")
        own = [device for device in devices if device.process_index == jax.process_index()]
        add = jax.pmap(lambda x: jax.lax.psum(x, "all"), axis_name="all", devices=devices)
        jax.block_until_ready(add(np.ones(len(own))))


def code_fingerprint() -> str:
    """What the package's code and JAX have in common on hosts that have the same."""
    digest = hashlib.sha256(jax.__version__.encode())
    package = pathlib.Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def describe(config: ml_collections.ConfigDict, dataset: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same in all processes, by name; where the dataset lies may differ."""
    fields = flatten_dict(json.loads(config.to_json()), sep=".")
    del fields["data.data_dir"]
    digest = hashlib.sha256(json.dumps(dataset, sort_keys=True).encode()).hexdigest()
    devices = f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"
    own = {"code": code_fingerprint(), "dataset": digest[:16], "devices": devices}
    return own | {f"config.{name}": value for name, value in fields.items()}


def compare(config: ml_collections.ConfigDict, dataset: dict[str, Any]) -> None:
    """Compares what all processes were started with.

    Args:
      config: of this process.
      dataset: its fingerprint, see `train.fingerprint`.

    Raises:
      InputError: one was started with something else than process 0; says what both have.
    """
    num = jax.process_count()
    if num == 1:
        return
    client: Any = distributed.global_state.client
    client.key_value_set(f"{_STARTED}{jax.process_index()}", json.dumps(describe(config, dataset)))
    # A process may take long to read its dataset once; one that is lost, the watch notices.
    texts = [client.blocking_key_value_get(f"{_STARTED}{i}", 86_400_000) for i in range(num)]
    found = list(map(json.loads, texts))
    for i, other in enumerate(found):
        differing = [name for name in sorted(found[0].keys() | other.keys())
                     if found[0].get(name) != other.get(name)]  # fmt: skip
        if differing:
            listed = ", ".join(
                f"{name} ({found[0].get(name)!r} on process 0, {other.get(name)!r} on process {i})"
                for name in differing
            )
            raise InputError(f"processes 0 and {i} were started with other things: {listed}")
