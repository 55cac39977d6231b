"""Checkpoints of runs: when they are made, and how they are stored."""
