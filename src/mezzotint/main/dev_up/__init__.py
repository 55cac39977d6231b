"""`mezzotint dev up`: everything that a service on several processes needs, from wheels, on this machine alone."""
