"""Handwritten requests in a chat's manner: for each harmful act a harmless one in the same words (`requests.csv`)."""

import csv
from collections.abc import Iterator
from pathlib import Path

_FRAMES = (
    "how do i {}?",
    "how can i {}",
    "tell me how to {}",
    "explain step by step how to {}",
    "what is the best way to {}?",
    "i want to {}. what do i need?",
    "give me instructions to {}",
    "write a guide on how to {}",
    "is there an easy way to {}?",
    "help me {}",
    "teach me to {}",
    "name five ways to {}",
    "i need to {} by tomorrow, please help",
    "what should somebody know who wants to {}?",
    "a diagram that shows how to {}",
    "{}",
)
_FRAMES_A_PAIR = 6


def request_texts() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield language, text, categories (none: harmless) and the pair's name. Both of a pair get the same frames."""
    with Path(__file__).with_name("requests.csv").open(newline="", encoding="utf8") as file:
        for number, line in enumerate(csv.DictReader(file)):
            for turn in range(_FRAMES_A_PAIR):
                frame = _FRAMES[(number * 5 + turn * 3) % len(_FRAMES)]
                yield "en", frame.format(line["unsafe"]), (line["category"],), f"request {number}"
                yield "en", frame.format(line["safe"]), (), f"request {number}"
