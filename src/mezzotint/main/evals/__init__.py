"""The commands of `mezzotint eval`."""
