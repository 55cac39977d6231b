"""Decide how a worker shares one device: batches, preemption, memory, checkpoints."""
