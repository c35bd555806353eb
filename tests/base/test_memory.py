"""Memory that is free, by files as the kernel writes them; what is freed stays with the process."""

import platform
import subprocess
import sys
import textwrap

import pytest
import tiny

from dped_jax.base.memory import free_memory


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 64000 kB\nMemAvailable: 32000 kB\n")
    return tmp_path / "proc"


def group(folder, version: int, limit: str, used: int, inactive: int) -> None:
    folder.mkdir(parents=True)
    names = {1: ("limit_in_bytes", "usage_in_bytes"), 2: ("max", "current")}[version]
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {inactive}\n")


def test_without_groups_it_is_that_of_the_host(proc, tmp_path):
    assert free_memory(proc, tmp_path / "none") == 32000 * 1024


def test_a_container_of_version_2(proc, tmp_path):
    (proc / "self/cgroup").write_text("0::/\n")
    group(tmp_path / "cgroup", 2, "2000000", 1500000, 300000)
    assert free_memory(proc, tmp_path / "cgroup") == 800000


def test_the_least_of_the_groups_around_counts(proc, tmp_path):
    (proc / "self/cgroup").write_text("0::/job/step\n")
    group(tmp_path / "cgroup/job", 2, "5000", 0, 0)
    group(tmp_path / "cgroup/job/step", 2, "max", 1000, 0)
    group(tmp_path / "cgroup/other", 2, "10", 0, 0)
    assert free_memory(proc, tmp_path / "cgroup") == 5000


def test_version_1(proc, tmp_path):
    (proc / "self/cgroup").write_text("4:memory:/job\n3:cpu,cpuacct:/\n0::/\n")
    group(tmp_path / "cgroup/memory/job", 1, "2000000", 1500000, 100000)
    group(tmp_path / "cgroup/memory/elsewhere", 1, "5", 0, 0)
    assert free_memory(proc, tmp_path / "cgroup") == 600000


def test_a_full_group_has_nothing(proc, tmp_path):
    (proc / "self/cgroup").write_text("0::/\n")
    group(tmp_path / "cgroup", 2, "1000", 1200, 0)
    assert free_memory(proc, tmp_path / "cgroup") == 0


FAULTS = """
    import concurrent.futures
    import resource
    import sys

    import numpy as np

    from dped_jax.base.memory import keep_freed_memory

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def arrays():
        sum(np.ones(2**size, np.uint8)[0] for size in (22, 27))

    if "keep" in sys.argv:
        keep_freed_memory()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for call in (arrays, lambda: pool.submit(arrays).result()):
            call()
            before = faults()
            for _ in range(3):
                call()
            print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is meant")
def test_what_is_freed_is_not_taken_anew():
    """Pages of arrays of 4 and 128 MB, three times over, in two threads."""

    def measured(*arguments):
        command = [sys.executable, "-c", textwrap.dedent(FAULTS), *arguments]
        result = subprocess.run(command, cwd=tiny.ROOT, capture_output=True, text=True, check=True)
        return [int(line) for line in result.stdout.split()]

    assert min(measured()) > 100  # of 2 MB at most
    assert max(measured("keep")) < 50
