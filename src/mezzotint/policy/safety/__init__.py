"""Decide which content is refused: categories, verdicts, thresholds of the policy file. `safety` has classifiers."""
