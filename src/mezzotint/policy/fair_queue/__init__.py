"""Decide which waiting job runs next, and what it costs its tenant."""
