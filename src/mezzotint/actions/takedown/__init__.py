"""Pictures are taken down, and come back if that was a mistake."""
