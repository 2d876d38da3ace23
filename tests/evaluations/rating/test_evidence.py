from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.rating.claims import languages
from evaluations.rating.evidence import (
    Introduction,
    Sentence,
    beginnings,
    numbered,
    says,
    says_name,
    sentences,
    sentences_of_text,
)
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


@pytest.mark.parametrize("end", [".", "!", "?", "…", "。", "！", "？", '."', "!”"])
def test_a_sentence_ends_at_its_mark(end: str) -> None:
    assert [each.text for each in sentences(spoken(f"One{end} Two, three"))] == [f"One{end}", "Two, three"]


def test_an_abbreviation_ends_no_sentence() -> None:
    assert len(sentences(spoken("I work for Dr. Brown and Mrs. Lee."))) == 1


def test_a_german_ordinal_ends_no_sentence() -> None:
    assert len(sentences(spoken("Ich gehe in die 10. Klasse."), "de")) == 1
    assert len(sentences(spoken("I am 10. I draw."), "en")) == 2


def test_words_of_a_script_without_blanks_are_joined_without_them() -> None:
    found = sentences(spoken("私の 名前は 田中です 。 I like J-Pop と サッカー 。"))
    assert [each.text for each in found] == ["私の名前は田中です。", "I like J-Pop とサッカー。"]


def test_a_text_is_cut_like_words_with_times_even_without_blanks() -> None:
    found = sentences_of_text("私の名前は田中です。趣味はサッカーです。", "ja")
    assert [each.text for each in found] == ["私の名前は田中です。", "趣味はサッカーです。"]


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


def test_a_claim_is_not_put_together_from_two_sentences() -> None:
    assert says("I helped in the library of a hospital.", "helped in a hospital library")
    assert not says("I helped in a library. I was born in a hospital.", "helped in a hospital library birth")


def test_a_remark_about_a_wish_is_supported_and_one_about_somebody_else_is_not() -> None:
    assert says("I want to be a nurse.", "You want to be a nurse.")
    assert not says("My brother plays football.", "You play football.")
    assert not says("I don't play football.", "You play football.")
    assert says("I don’t eat meat.", "You don't eat meat.")


def test_an_introduction_names_the_sentences_that_say_something() -> None:
    said = Introduction(sentences_of_text("I am Ada. I draw. I am 16. I draw horses."), "en")
    assert said.saying("hobbies", "drawing") == [2, 4]
    assert said.saying("name", "Ada") == [1]
    assert said.saying("age", 16) == [3]
    assert said.saying("age", 17) == []


def test_a_sentence_that_corrects_the_one_before_withdraws_it() -> None:
    said = Introduction(sentences_of_text("I am twenty. Sorry, twenty one. I draw."), "en")
    assert said.saying("age", 20) == []
    assert said.saying("age", 21) == [1, 2]
    assert said.saying("hobbies", "draw") == [3]


def test_an_apology_withdraws_nothing() -> None:
    said = Introduction(sentences_of_text("I like chess. Sorry, I am so nervous. I am Ada, sorry, I am cold."), "en")
    assert said.saying("hobbies", "chess") == [1]
    assert said.saying("name", "Ada") == [3]


def test_the_language_is_guessed_if_it_is_not_known() -> None:
    said = Introduction(sentences_of_text("Ich bin Mia. Ich bin siebzehn Jahre alt. Ich spiele nicht gern Schach."))
    assert (said.saying("name", "Mia"), said.saying("age", 17), said.saying("hobbies", "Schach")) == ([1], [2], [])


def test_a_name_must_be_said_in_full() -> None:
    assert says_name(TEXT, "Ada Lovelace")
    assert says_name(TEXT, "Ada")
    assert not says_name(TEXT, "Ada Byron")
    assert not says_name(TEXT, "Lovelace Ada")
    assert not says_name(TEXT, "")


@pytest.mark.parametrize("name", ["Zoë", "ZOE\u0308", "Łukasz", "李", "Müller-Öz", "Straße", "O'Brien", "Mac Donald"])
def test_a_name_is_found_in_any_script_however_it_is_typed(name: str) -> None:
    said = ("Zoë", "łukasz", "李", "Strasse", "MÜLLER-ÖZ", "O’Brien", "MacDonald")
    assert any(says_name(f"Hi, my name is {each}.", name, "en") for each in said)
    assert not any(says_name(f"Hi, my name is {each}.", name, "en") for each in ("Zo", "ukasz", "M", "ller", "Mac"))


def test_a_name_may_be_told_in_parts_or_twice() -> None:
    assert says_name("My first name is Ada and my last name is Lovelace.", "Ada Lovelace")
    assert says_name("My name is Bond, James Bond.", "James Bond")


@pytest.mark.parametrize("text", ["I am quick.", "I am at Lovelace School.", "My brother says that this is Ada."])
def test_a_word_that_is_no_introduction_is_no_name(text: str) -> None:
    assert not any(says_name(text, name, "en") for name in ("quick", "Lovelace", "Ada"))


def test_the_claims_of_several_students_are_checked_at_once_without_mixing_them_up() -> None:
    """A stemmer writes into itself while it works, and a worker has a thread for each slot."""
    texts = ("My greatest strength is organising informative celebrations.", "I was relentlessly practising handball.")
    claims = ("organised celebrations", "relentless practice", "practising handball")

    def check(number: int) -> list[bool]:
        return [looked_up(texts[number % 2], claim) for claim in claims for _ in range(30)]

    def looked_up(text: str, claim: str) -> bool:
        languages.snowball.cache_clear()  # so that every word is stemmed again
        return says(text, claim, "en")

    alone = [check(number) for number in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            at_once = list(threads.map(check, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert at_once == alone * 4


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["I am Ada.", "I draw!"], {"I am Ada.": 1, "I draw!": 2}),
        (["I like to draw cats every day.", "I like to read."], {"I like to draw": 1, "I like to read.": 2}),
        (
            ["I would like to be a vet.", "I would like to be a cook."],
            {"I would like to be a vet.": 1, "I would like to be a cook.": 2},
        ),
        (
            ["I am good at maths.", "I am good at maths.", "I am good at chess."],
            {"I am good at maths.": 1, "I am good at chess.": 3},
        ),
        (
            ["Yes, I do like it.", "Yes, I do like it. Really."],
            {"Yes, I do like it.": 1, "Yes, I do like it. Really.": 2},
        ),
        ([], {}),
    ],
)
def test_a_sentence_is_quoted_by_as_few_words_as_tell_it_from_the_others(
    texts: list[str], expected: dict[str, int]
) -> None:
    found = [Sentence(number, text, 0.0, 0.0) for number, text in enumerate(texts, start=1)]
    assert beginnings(found) == expected


@given(st.lists(st.lists(st.sampled_from("ab."), min_size=1, max_size=8).map(" ".join), max_size=6))
def test_each_sentence_that_is_unlike_all_before_it_has_a_beginning_of_its_own(texts: list[str]) -> None:
    found = [Sentence(number, text, 0.0, 0.0) for number, text in enumerate(texts, start=1)]
    quotable = beginnings(found)
    words = [text.split() for text in texts]
    assert sorted(quotable.values()) == [
        number for number, own in enumerate(words, 1) if own not in words[: number - 1]
    ]
    assert all(words[number - 1][: len(begun.split())] == begun.split() for begun, number in quotable.items())
