"""The text filter: decide about prompts before any work is done for them."""
