"""Request bodies: limits of size, memory and pace; JSON and forms."""
