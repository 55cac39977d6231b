"""Frozen values, enums and errors that all other packages share. Imports nothing that acts."""
