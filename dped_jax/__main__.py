"""`python -m dped_jax COMMAND …`, the same as `dped-jax COMMAND …`."""

from dped_jax import console

if __name__ == "__main__":
    console.main()
