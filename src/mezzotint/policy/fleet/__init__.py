"""Decisions about a fleet of workers. The controller carries them out, the simulator tries them."""
