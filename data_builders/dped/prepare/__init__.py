"""From raw photo pairs to aligned patches."""
