"""How much memory there is, the host's or what a container is allowed (cgroups, both versions), and
how what is freed is kept.
"""

import contextlib
import ctypes
import pathlib

_PROC, _CGROUPS = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")
# Of each version: below the mount, the limit, what is used, and how memory.stat calls the part of
# it that the kernel gives back (file pages that are not in use).
_VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(proc: pathlib.Path = _PROC, cgroups: pathlib.Path = _CGROUPS) -> float:
    """Bytes that this process may still take: the least of the host and the groups it is in."""
    fields = (proc / "meminfo").read_text().split()
    free = [float(fields[fields.index("MemAvailable:") + 1]) * 1024]
    try:
        lines = [line.split(":", 2) for line in (proc / "self/cgroup").read_text().splitlines()]
    except OSError:
        return free[0]
    paths = {name: path for _, names, path in lines for name in names.split(",")}
    for mount, limit, used, inactive in _VERSIONS:
        if mount not in paths:
            continue
        # In a container its own group is often the root of what can be seen.
        inner = pathlib.PurePath(paths[mount].lstrip("/"))
        for group in (inner, *inner.parents):
            folder = cgroups / mount / group
            try:
                allowed = (folder / limit).read_text().strip()
                taken = int((folder / used).read_text())
                stat = (folder / "memory.stat").read_text().split()
            except OSError:
                continue
            if allowed != "max":
                free.append(int(allowed) - taken + int(stat[stat.index(inactive) + 1]))
    return max(0.0, min(free))


def keep_freed_memory() -> None:
    """Makes glibc keep what this process frees; without effect elsewhere.

    Otherwise arrays go back to the system and are taken anew, page by page, in every training step.
    To be called before JAX has started its threads.
    """
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8  # of malloc.h
    with contextlib.suppress(AttributeError):  # of another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_arena_max, 1)  # the one that can grow beyond 64 MB, for all threads
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)  # never
