"""Checkpoints: what a run holds at a step boundary, as bytes, and its return into a replayed run."""
