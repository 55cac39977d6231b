"""Decide whether a request becomes jobs, and with which parameters."""
