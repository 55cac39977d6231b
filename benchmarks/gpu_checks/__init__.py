"""The thirteen checks of `gpu_check.py`, and the random models that they and `gpu.py` compute."""
