"""What all commands share. No JAX, and nothing else of this package is imported here."""
