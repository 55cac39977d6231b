"""Mezzotint serves diffusion models to many people at once."""

__version__ = "0.1.0"
