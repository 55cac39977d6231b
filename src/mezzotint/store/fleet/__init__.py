"""Rows of the fleet: what its operator wants, its workers, and the controller's decisions."""
