"""A page about one model: `python -m dped_jax.report`."""
