"""Forecasting: denoiser answers extrapolated from a run's own last ones, instead of passes."""
