"""Readers of networks that others have published: `python -m dped_jax.convert`, and VGG-19."""
