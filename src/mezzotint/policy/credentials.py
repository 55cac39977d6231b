"""Rules for sign-in names and passwords."""

MIN_PASSWORD, MAX_PASSWORD = 12, 256
MAX_NAME = 254
"""The longest e-mail address."""


def name_fault(name: str) -> str | None:
    """Say why a sign-in name cannot be used; None when it can."""
    if not 1 <= len(name) <= MAX_NAME or not all(letter.isalnum() or letter in "._+-@" for letter in name):
        return f"Use 1 to {MAX_NAME} letters, digits or . _ + - @, such as an e-mail address."
    return None


def password_fault(name: str, password: str) -> str | None:
    """Say why a password cannot be used; None when it can. Length counts; there are no rules about characters."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"Use {MIN_PASSWORD} to {MAX_PASSWORD} characters; a few words in a row are easy to remember."
    if len(set(password)) < 4 or password.casefold() == name.casefold():
        return "That one is guessed first; use a few words in a row."
    return None


def fold_name(name: str) -> str:
    """The name as it is stored and compared: without surrounding white space, case folded."""
    return name.strip().casefold()
