from __future__ import annotations

import pytest

from evaluations.rating import checks, evidence
from evaluations.rating.checks import CHECKS, CheckResult, Transcribed
from evaluations.rating.speech import Spoken

THREE = "I am fifteen. I like chess. I want to be a nurse."


def talk(text: str) -> Transcribed:
    """As a written text, which has no times."""
    words = [Spoken(word, 0.0, 0.0, 1.0) for word in text.split()]
    return Transcribed(evidence.sentences(words))


def spoken(text: str, *, seconds_per_word: float, pause_after: dict[int, float] | None = None) -> Transcribed:
    """`pause_after`: number of a word from 1 → seconds of silence behind it."""
    clock, words = 0.0, []
    for number, word in enumerate(text.split(), start=1):
        words.append(Spoken(word, clock, clock + 0.7 * seconds_per_word, 0.2))  # barely recognised, which is no matter
        clock += seconds_per_word + (pause_after or {}).get(number, 0.0)
    return Transcribed(evidence.sentences(words), words)


@pytest.mark.parametrize(
    ("check", "text", "answer"),
    [
        ("opens", "Hello. I am fifteen.", True),
        ("opens", "Ladies and gentlemen, I like chess.", True),
        ("opens", "Meine Damen und Herren, ich spiele Schach.", True),
        ("opens", "Ada Berg here. I like chess.", True),
        ("name", "Ada Berg, sixteen, from Graz.", True),
        ("name", "Ada Berg hier. Ich spiele Schach.", True),
        ("name", "My name Ada.", True),
        ("name", "Good Morning, everybody.", False),
        ("name", "Last summer, I went to the sea.", False),
        ("name", "Swimming, chess and music.", False),
        ("direct", "hello I am fifteen and I go to school and after school I sleep", True),
        ("direct", "hello he is fifteen and he goes to my school and after school he sleeps", False),
        ("no_apology", "ich bin Lea und ich male und ich schwimme und das war es", True),
        ("no_apology", f"{THREE} Sorry.", False),
        ("no_apology", f"{THREE} I can't do this.", False),
        ("opens", "Um, so, hi everybody. I like chess.", True),
        ("opens", "Guten Tag, ich bin Lea.", True),
        ("opens", "My name is Lea Brandt. I swim.", True),
        ("opens", "I like chess. I swim. Hello.", False),
        ("opens", "High mountains are nice. I ski.", False),
        ("name", "My name is Lea Brandt.", True),
        ("name", "My name’s lea.", True),
        ("name", "I'm Ben and I ski.", True),
        ("name", "I am Ben.", True),
        ("name", "Ich heiße Jonas.", True),
        ("name", "Ich bin die Lea aus Kiel.", True),
        ("name", "I am fifteen. I am Turkish about everything.", False),
        ("name", "I am good at chess.", False),
        ("name", "I'm from Spain.", False),
        ("finished", "I play chess. I swim a lot. I want to be a nurse.", True),
        ("finished", "I play and. So um. I want to be a nurse.", False),
        ("finished", "Chess. Pizza. I want to be a nurse.", False),
        ("finished", "i play chess i swim a lot i want to be a nurse", None),
        ("direct", THREE, True),
        ("direct", "I guess I am fifteen. Maybe I like chess. I want to be a nurse, or something.", False),
        ("direct", f"{THREE} Maybe I will.", True),  # one is nothing
        ("direct", "The sea is blue. The wind is cold. The moon is old.", False),  # nobody speaks of themselves
        ("direct", "Ich bin fünfzehn. Vielleicht mag ich Schach. Ich werde irgendwie Koch.", False),
        ("no_apology", THREE, True),
        ("no_apology", f"{THREE} Sorry for my English.", False),
        ("no_apology", f"{THREE} I'm really bad at this.", False),
        ("no_apology", "I am twenty, sorry, twenty one. I like chess. I ski.", True),  # a slip of the tongue
        ("no_apology", "Stir the flour. Add the milk. Bake it.", False),
    ],
)
def test_what_words_alone_can_answer(check: str, text: str, answer: bool | None) -> None:
    assert CHECKS[check](talk(text)).answer is answer


def test_a_check_names_the_sentences_that_decide() -> None:
    assert checks.name(talk("Hello. My name is Lea. I am Lea.")).sentences == (2,)
    assert checks.no_apology(talk(f"{THREE} Sorry for my English.")).sentences == (4,)
    assert checks.direct(talk(f"Maybe I ski. {THREE} I guess so.")).sentences == (1, 5)
    assert checks.finished(talk(f"Chess. {THREE} Pizza.")).sentences == (1, 5)


TEXT = "I play chess with my sister every Sunday and I like it a lot. " * 4  # 56 words


@pytest.mark.parametrize(
    ("pace", "answer"), [(60, False), (75, True), (110, True), (150, True), (225, True), (245, False)]
)
def test_a_pace_in_a_wide_band_can_be_followed(pace: float, answer: bool) -> None:
    assert checks.pace(spoken(TEXT, seconds_per_word=60 / pace)).answer is answer


def test_a_pace_needs_times_and_thirty_words() -> None:
    assert checks.pace(talk(TEXT)) == CheckResult(None)
    short = " ".join(TEXT.split()[:29])
    assert checks.pace(spoken(short, seconds_per_word=0.1)) == CheckResult(None)
    assert checks.phrases(spoken(short, seconds_per_word=0.1)) == CheckResult(None)


def test_pauses_between_sentences_and_after_commas_cut_nothing() -> None:
    between = dict.fromkeys((14, 28, 42), 5.0)
    assert checks.phrases(spoken(TEXT, seconds_per_word=0.4, pause_after=between)).answer is True
    inside = dict.fromkeys((3, 17, 31), 5.0)
    assert checks.phrases(spoken(TEXT, seconds_per_word=0.4, pause_after=inside)).answer is False
    assert checks.phrases(spoken(TEXT, seconds_per_word=0.4, pause_after={3: 5.0})).answer is True


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("text", ["", "?", "… …", "\u202e \u0000", "я люблю шахматы", "私は学生です。"])
def test_any_text_has_an_answer_or_none(check: str, text: str) -> None:
    assert CHECKS[check](talk(text)).answer in (True, False, None)
    assert CHECKS[check](spoken(text, seconds_per_word=0.0)).answer in (True, False, None)
