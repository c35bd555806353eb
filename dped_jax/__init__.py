"""DSLR-quality photos on mobile devices with deep convolutional networks, in JAX."""
