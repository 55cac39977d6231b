"""Readings of a text."""

from mezzotint.safety.text.folding import fold, list_readings, space_words


def test_plain_words_are_among_the_readings() -> None:
    assert " a cat s hat " in list_readings("A cat's HAT!").worded


def test_accents_forms_and_look_alikes_fold_to_plain_letters() -> None:
    assert fold("Ｃáſｅ СОРУ ⓐ 🅰 🇦") == "case copy a a a"


def test_a_digit_is_read_both_as_itself_and_as_a_letter() -> None:
    worded = list_readings("5ex at b1ll 1990").worded
    assert {" 5ex at b1ll 1990 ", " sex at bill 1990 ", " sex at blll 1990 "} <= worded


def test_spelt_out_words_are_joined_from_three_letters_on() -> None:
    readings = list_readings("a b then c.a.t")
    assert " a b then cat " in readings.worded
    assert readings.spelt_out == {"cat"}


def test_long_runs_of_a_letter_are_read_as_one_and_as_two() -> None:
    assert {" bok ", " book "} <= list_readings("boooook").worded


def test_words_are_bounded_by_single_spaces() -> None:
    assert space_words("a_b--c,d  e") == " a b c d e "
    assert space_words("") == "  "
