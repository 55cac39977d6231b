"""The safety filters, built from the settings."""
