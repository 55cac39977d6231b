"""Read disguised words: misspelt, masked, split, run together or written backwards."""
