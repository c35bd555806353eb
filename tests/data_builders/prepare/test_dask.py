"""The prepare command on a Dask cluster: a scheduler and two workers, processes of their own."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from generated_patches import ROOT, files_below
from photo_folders import arguments
from tiny import assert_one_line_error

pytest.importorskip("distributed", reason="needs Dask (requirements-dev.txt)")
RUNNER = "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"


def started(program: str, *flags: str, cwd: pathlib.Path = ROOT) -> subprocess.Popen:
    # "-m" puts the current folder on the path: there the package is, or is not.
    argv = [sys.executable, "-m", f"distributed.cli.dask_{program}", *flags]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(argv, cwd=cwd, start_new_session=True, **quiet)


def started_worker(address: str, cwd: pathlib.Path = ROOT) -> subprocess.Popen:
    flags = ("--nthreads=1", "--no-nanny", "--no-dashboard")
    return started("worker", address, *flags, cwd=cwd)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def wait_for_workers(address: str, count: int) -> None:
    program = (
        "import distributed, sys; client = distributed.Client(sys.argv[1], timeout=60);"
        " client.wait_for_workers(int(sys.argv[2]), timeout=60)"
    )
    subprocess.run([sys.executable, "-c", program, address, str(count)], check=True)


@pytest.fixture
def scheduler():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = started("scheduler", "--host=127.0.0.1", f"--port={port}", "--no-dashboard")
    yield f"tcp://127.0.0.1:{port}"
    kill(process)


@pytest.fixture
def workers(scheduler):
    processes = [started_worker(scheduler) for _ in range(2)]
    wait_for_workers(scheduler, 2)
    yield processes
    for process in processes:
        kill(process)


def test_all_workers_work_and_a_killed_one_costs_only_time(
    scheduler, workers, prepared, photos, tmp_path
):
    """First tasks that say who does them; then photos, while one worker is killed."""
    commands = [f"echo $PPID > {tmp_path}/{i}; sleep 0.3" for i in range(8)]
    program = (
        "import os, sys; from data_builders.dped.prepare.beam import run_beam;"
        f" run_beam(os.system, sys.argv[2:], runner={RUNNER.partition('=')[2]!r},"
        " options=['--dask_client_address=' + sys.argv[1]])"
    )
    subprocess.run([sys.executable, "-c", program, scheduler, *commands], cwd=ROOT, check=True)
    done_by = [int((tmp_path / str(i)).read_text()) for i in range(8)]
    assert {done_by.count(worker.pid) >= 3 for worker in workers} == {True}

    output = tmp_path / "out"
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *arguments(photos, output), RUNNER]
    driver = subprocess.Popen(
        [*argv, f"--dask_client_address={scheduler}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    records = output / ".prepare/custom/pairs"
    while not list(records.glob("*.json")):
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.01)
    kill(workers[0])
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert files_below(output / "custom") == files_below(prepared[0] / "custom")


def test_clusters_that_cannot_work_are_one_line(scheduler, photos, tmp_path, run_command):
    flags = (*arguments(photos, tmp_path / "out"), RUNNER, f"--dask_client_address={scheduler}")
    done = run_command("prepare", *flags)
    assert_one_line_error(done, scheduler, "the Dask scheduler has no workers: start `dask worker")
    worker = started_worker(scheduler, cwd=tmp_path)  # where the package is not
    wait_for_workers(scheduler, 1)
    done = run_command("prepare", *flags)
    assert_one_line_error(done, "worker tcp://", "lacks the Python package data_builders: install")
    kill(worker)
    kill_port = "tcp://127.0.0.1:9"  # nobody listens at "discard"
    unreachable = f"--dask_client_address={kill_port}", "--dask_connection_timeout=2"
    done = run_command("prepare", *flags[:-1], *unreachable)
    assert_one_line_error(done, f"{kill_port}: no Dask scheduler answers there")
    assert not (tmp_path / "out/custom").exists()
    assert os.listdir(tmp_path / "out/.prepare/custom/pairs") == []
