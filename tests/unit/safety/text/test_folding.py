"""Readings of a text."""

from mezzotint.safety.text.folding import SpeltOut, fold, list_readings, space_words


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
    assert readings.spelt_out == {SpeltOut(("a", "b", "then"), "cat", ())}


def test_a_digit_beside_spelt_out_letters_is_no_letter_of_theirs() -> None:
    assert " 9 cats " in list_readings("9 c a t s").worded


def test_the_number_that_a_word_begins_with_stays_a_number() -> None:
    worded = list_readings("4y34r 0ld").worded
    assert " 4year old " in worded


def test_long_runs_of_a_letter_are_read_as_one_and_as_two() -> None:
    assert {" bok ", " book "} <= list_readings("boooook").worded


def test_stretched_words_are_read_as_the_known_words_that_they_stretch() -> None:
    assert " three cats boo " in list_readings("thrrreeee cattts boooo", {"three", "cats", "boo"}).worded
    assert {" man ", " mann "} <= list_readings("mannnn", {"man", "mann"}).worded


def test_spelt_out_hangul_is_joined() -> None:
    assert " 고양이 " in list_readings("고 양 이").worded


def test_small_capitals_fold_to_plain_letters() -> None:
    assert fold("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ") == "abcdefghijklmnoprstuvwyz"


def test_words_are_bounded_by_single_spaces() -> None:
    assert space_words("a_b--c,d  e") == " a b c d e "
    assert space_words("") == "  "
