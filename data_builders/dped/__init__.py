"""The DPED data set: aligned patches of phone and DSLR photos.

Imports below are relative: `tfds build` imports this folder as the package `dped`, and where the
project is installed it lies below `dped_jax`.
"""
