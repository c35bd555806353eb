"""Calls a function for many tasks in processes of this machine; beam.py does on other machines.

The function writes files; what it returns is not kept. Function and tasks must be picklable.
"""

import concurrent.futures
import itertools
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

import cv2

from dped_jax.base.errors import InputError
from dped_jax.base.progress import progress_bar

# Calls a function for all tasks; the string says what it does, for people.
Run = Callable[[Callable[[Any], None], Collection[Any], str], None]
_WAITING = 8  # tasks handed to a pool for each of its processes

# Each worker has one core: libraries must not start threads of their own in it.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Tasks(Collection[Any]):
    """Tasks made one by one: their number is known, they are not held."""

    def __init__(self, items: Collection[Any], make: Callable[[Any], Any]):
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return map(self._make, self._items)

    def __contains__(self, task: object) -> bool:
        return any(task == each for each in self)


def run_processes(
    function: Callable[[Any], None], tasks: Collection[Any], *, processes: int, description: str
) -> None:
    """Calls `function` for all tasks in processes of this machine, with a progress bar.

    Args:
      function: what to call.
      tasks: its arguments.
      processes: how many at once, at least 1.
      description: shown beside the progress bar.

    Raises:
      InputError: a process was killed.
      OSError: from the function; tasks that have not begun are given up then.
    """
    progress = progress_bar(total=len(tasks), desc=description, unit=" pairs", smoothing=0.1)
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    # Ctrl-C goes to all processes of a terminal: workers finish what they have begun. The tracker's
    # start takes the mask away again, so that it comes first.
    multiprocessing.resource_tracker.ensure_running()
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update(_ONE_THREAD)  # of the processes to be started
    pool = concurrent.futures.ProcessPoolExecutor(
        max(1, min(processes, len(tasks))),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        with progress:
            left = iter(tasks)
            first = itertools.islice(left, _WAITING * processes)
            waiting = {pool.submit(function, task) for task in first}
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    future.result()
                progress.update(len(done))
                waiting |= {pool.submit(function, t) for t in itertools.islice(left, len(done))}
    except concurrent.futures.process.BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for lack of memory: try fewer --processes;"
            " what is finished is kept"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """Keeps a worker to one thread, and ends it with the process that it works for."""

    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # a killed parent tells its workers nothing: they would wait for ever

    cv2.setNumThreads(1)
    threading.Thread(target=follow, daemon=True).start()
