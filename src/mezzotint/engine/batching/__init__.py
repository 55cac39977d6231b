"""Denoiser calls of several runs made as one pass: merging, padding, verification, execution."""
