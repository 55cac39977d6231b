"""Authentication: API keys, tokens, sessions, and the limits of wrong guesses."""
