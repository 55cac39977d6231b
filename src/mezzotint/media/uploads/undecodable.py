"""The refusal of a picture from outside."""


class Undecodable(ValueError):
    """The bytes are not a picture that is taken; the message says why, for its sender."""
