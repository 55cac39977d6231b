"""Decisions: pure functions of plain values, with the time as an argument."""
