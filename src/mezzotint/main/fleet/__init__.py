"""`mezzotint fleet`: a file of pools, and the workers that run by it."""
