"""A generator as a file of another runtime: `python -m dped_jax.export`."""
