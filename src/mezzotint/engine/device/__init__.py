"""The device beneath the engine: its errors and its memory."""
