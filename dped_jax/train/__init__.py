"""Trains generator and discriminator: `python -m dped_jax.train`."""
