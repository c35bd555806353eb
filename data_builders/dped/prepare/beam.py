"""Calls a function for many tasks on an Apache Beam runner.

The function writes files; what it returns is not kept. Function and tasks must be picklable, and
their modules must be installed where they run.
"""

import functools
import importlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import cv2

from dped_jax.base.errors import InputError

WAVE_TASKS = 10_000  # a pipeline each: neither driver nor scheduler holds more at once
WAVE_PARTS = 2_000  # of a wave, which go to workers one by one
_DASK_ADDRESS = "--dask_client_address"


def run_beam(
    function: Callable[[Any], None], tasks: Iterable[Any], *, runner: str, options: Sequence[str]
) -> None:
    """Calls `function` for all tasks as Apache Beam pipelines, and waits for their end.

    Tasks are handed out in parts of a few, so that all workers are busy on any runner: Dask's would
    make one partition of 128 of them.

    Args:
      function: what to call.
      tasks: its arguments.
      runner: a Beam runner, as DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
      options: Beam's own flags, as "--name=value".

    Raises:
      InputError: Beam is not installed, does not know the runner, or refuses a flag; the cluster
        cannot be reached, or a worker lacks a package.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("--runner needs Apache Beam: pip install apache-beam") from error
    if "dask" in runner.lower():
        options = _dask_options(options)
    for wave in _batches(tasks, WAVE_TASKS):
        parts = list(_batches(wave, -(-len(wave) // WAVE_PARTS)))
        try:
            pipeline = beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *options]))
        except (ValueError, SystemExit) as error:  # argparse exits
            raise InputError(f"--runner={runner}: {error}") from error
        try:
            with pipeline:
                _ = (
                    pipeline
                    | "tasks" >> beam.Create(parts)
                    | "spread" >> beam.Reshuffle()
                    | "run" >> beam.Map(functools.partial(_call_all, function))
                )
        except Exception as error:
            raise _explained(error) from error


def _batches(tasks: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` tasks; the last may be shorter."""
    left = iter(tasks)
    while batch := list(itertools.islice(left, size)):
        yield batch


def _call_all(function: Callable[[Any], None], tasks: Sequence[Any]) -> None:
    cv2.setNumThreads(1)  # a machine has a worker for each core
    for task in tasks:
        function(task)


def _explained(error: Exception) -> Exception:
    """An `InputError` where a worker says what is wrong; otherwise the error itself."""
    if isinstance(error, InputError):
        return error
    chain: list[BaseException] = [error]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    text = "\n".join(map(str, chain))
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing:
        return InputError(_lacking("a worker", missing[1]))
    told = re.search(r"InputError: (.+?)(?: \[while running|\n|$)", text)
    return InputError(told[1]) if told else error


def _lacking(where: str, module: str) -> str:
    return (
        f"{where} lacks the Python package {module.partition('.')[0]}: install there what is"
        " installed here; what is finished is kept"
    )


def _dask_options(options: Sequence[str]) -> list[str]:
    """Adds what spreads the work, after a look at the cluster, if there is one.

    Raises:
      InputError: it cannot be reached, has no workers, or one of them lacks a package.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        distributed = importlib.import_module("distributed")
        dask_runner = importlib.import_module("apache_beam.runners.dask.dask_runner")
    except ImportError as error:
        raise InputError("--runner needs Dask: pip install 'apache-beam[dask]'") from error
    parsed = PipelineOptions(list(options)).view_as(dask_runner.DaskOptions)
    given = parsed.get_all_options(drop_default=True, current_only=True)
    chosen = {name: given.pop(name, None) for name in ("npartitions", "partition_size")}
    if given.keys() & {"address", "scheduler_file"}:
        where = given.get("address") or given["scheduler_file"]
        try:
            client = distributed.Client(**given)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"{where}: no Dask scheduler answers there: start `dask scheduler`, or correct"
                f" {_DASK_ADDRESS}"
            ) from error
        with client:
            _check_cluster(client, where)
    if not any(chosen.values()):
        return [*options, "--dask_partition_size=1"]  # of our parts
    return list(options)


def _check_cluster(client: Any, where: str) -> None:
    """Refuses a cluster without workers, or where what is to run cannot be imported."""
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise InputError(f"{where}: the Dask scheduler has no workers: start `dask worker {where}`")
    program = f"import apache_beam, {__package__}.photo_pairs"
    found = dict(client.run(exec, program, on_error="return"))
    try:  # it unpickles the tasks, too
        client.run_on_scheduler(exec, program)
    except Exception as error:
        found["the scheduler"] = error
    for address, problem in found.items():
        if isinstance(problem, ImportError):
            name = address if address == "the scheduler" else f"worker {address}"
            raise InputError(_lacking(name, problem.name or str(problem)))
