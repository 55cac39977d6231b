"""The judgement: pure functions from plain values, and the time as an argument, to a decision."""
