"""Enhances whole photographs: `python -m dped_jax.enhance`."""
