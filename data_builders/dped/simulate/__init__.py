"""Simulated photo pairs."""
