"""The DPED data set: aligned patches of phone and DSLR photos.

Imports of this folder's own files are relative: `tfds build` imports it as the package `dped`, and
where the project is installed it lies below `dped_jax`.
"""

from dped_jax.base import signals

signals.end_at_once_if_command(__name__)
