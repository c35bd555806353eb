"""Gradients of layers as a CPU computes them fast; accelerators keep XLA's own."""
