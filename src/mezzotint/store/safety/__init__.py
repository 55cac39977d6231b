"""Rows of the safety policy in use: hard rules, tightenings, appeals, and the audit of all changes."""
