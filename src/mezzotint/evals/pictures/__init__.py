"""Measure pictures: what they look like, whether they show their prompt, how they differ from accepted ones."""
