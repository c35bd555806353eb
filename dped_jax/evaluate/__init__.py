"""Scores models and pictures: `python -m dped_jax.evaluate`."""
