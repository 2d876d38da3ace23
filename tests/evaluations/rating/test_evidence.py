from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluations.rating.evidence import numbered, says, says_name, says_number, sentences
from evaluations.rating.speech import Spoken

TEXT = "Hello, my name is Ada Lovelace. I am sixteen years old and I love drawing."


def spoken(text: str) -> list[Spoken]:
    return [Spoken(word, float(at), at + 0.5, 0.9) for at, word in enumerate(text.split())]


def test_sentences_carry_their_numbers_words_and_times() -> None:
    first, second = sentences(spoken("I am Ada. I draw!"))
    assert (first.number, first.text, first.start, first.end) == (1, "I am Ada.", 0.0, 2.5)
    assert (second.number, second.text, second.start) == (2, "I draw!", 3.0)
    assert numbered([first, second]) == "[1] I am Ada.\n[2] I draw!"


def test_a_quote_says_which_sentence_it_is_and_when_it_was_said() -> None:
    _, second = sentences(spoken("I am Ada. I draw!"))
    assert second.as_quote() == {"sentence": 2, "quote": "I draw!", "start": 3.0, "end": 4.5}


@pytest.mark.parametrize("end", [".", "!", "?", "…"])
def test_a_sentence_ends_at_its_mark(end: str) -> None:
    assert [each.text for each in sentences(spoken(f"One{end} Two, three"))] == [f"One{end}", "Two, three"]


def test_speech_without_punctuation_is_cut_into_quotes_of_bounded_length() -> None:
    found = sentences(spoken("word " * 100))
    assert [len(sentence.text.split()) for sentence in found] == [40, 40, 20]


def test_no_words_make_no_sentences() -> None:
    assert sentences([]) == []


@pytest.mark.parametrize("claim", ["drawing", "I love to draw", "loves drawings"])
def test_a_claim_is_supported_by_its_words_in_any_form(claim: str) -> None:
    assert says(TEXT, claim)


@pytest.mark.parametrize("claim", ["football", "swimming and chess", "", "I am", "22"])
def test_an_invented_or_empty_claim_is_not_supported(claim: str) -> None:
    assert not says(TEXT, claim)


def test_of_five_words_of_a_claim_three_must_have_been_said() -> None:
    assert says("Chess, piano, bridges.", "chess piano bridges football swimming")
    assert not says("Chess, piano.", "chess piano bridges football swimming")
    assert says("Chess, piano.", "I like chess and the piano and football")  # small words don't count: two of three
    assert not says("I like chess and the piano.", "I like the violin")


def test_a_name_must_be_said_in_full() -> None:
    assert says_name(TEXT, "Ada Lovelace")
    assert not says_name(TEXT, "Ada Byron")
    assert not says_name(TEXT, "")


@pytest.mark.parametrize("name", ["Zoë", "ZOE\u0308", "Łukasz", "李", "Müller-Öz", "Straße"])
def test_a_name_is_found_in_any_script_however_it_is_typed(name: str) -> None:
    assert says_name("Hi, we are Zoë, łukasz, 李, Strasse and MÜLLER-ÖZ.", name)
    assert not says_name("Hi, we are Zo, ukasz, M and ller.", name)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("I am 16.", 16),
        ("I am sixteen", 16),
        ("twenty-one years", 21),
        ("twenty one", 21),
        ("I am forty", 40),
        ("Twenty, oneself", 20),
        ("zero", 0),
        ("nineteen", 19),
        ("NINETY nine", 99),
        ("five or six", 5),
        ("five or six", 6),
        ("I'm １６", 16),
    ],
)
def test_a_number_counts_in_digits_and_in_words(text: str, number: int) -> None:
    assert says_number(text, number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("I am 16.", 6),
        ("room 161", 16),
        ("sixteen", 17),
        ("I often paint", 10),
        ("seventeen", 7),
        ("twenty one", 20),
        ("twenty-five", 5),
        ("9" * 5000, 9),
    ],
)
def test_another_number_does_not_count(text: str, number: int) -> None:
    assert not says_number(text, number)


def test_the_claims_of_several_students_are_checked_at_once_without_mixing_them_up() -> None:
    """A stemmer writes into itself while it works, and a worker has a thread for each slot."""
    texts = ("My greatest strength is organising informative celebrations.", "I was relentlessly practising handball.")
    claims = ("organised celebrations", "relentless practice", "practising handball")

    def check(number: int) -> list[bool]:
        return [says(texts[number % 2], claim) for claim in claims for _ in range(100)]

    alone = [check(number) for number in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            at_once = list(threads.map(check, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert at_once == alone * 4
