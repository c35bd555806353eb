"""The DPED data set: aligned patches of phone and DSLR photos.

Imports below are relative: `tfds build` imports this folder as the package `dped`, and where the
project is installed it lies below `dped_jax`.
"""

import sys

from . import signals

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].startswith(__name__):  # a command
    signals.end_at_once()
