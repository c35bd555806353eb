"""Several devices on one CPU, for tests and the commands that they start."""

import os


def xla_flags(num_devices: int) -> str:
    """XLA_FLAGS as set already, with this many devices: of a flag given twice, the last counts."""
    given = os.environ.get("XLA_FLAGS", "")
    return f"{given} --xla_force_host_platform_device_count={num_devices}".strip()
