"""A worker as a part of a fleet: its health, and the notices of a cloud that takes its machine away."""
