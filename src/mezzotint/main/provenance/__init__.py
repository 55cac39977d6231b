"""Content credentials: the identity that signs, and `mezzotint provenance`."""
