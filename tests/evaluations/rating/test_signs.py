"""A sign is had by every sentence that could show its item: what lacks it shows nothing."""

from __future__ import annotations

import pytest

from evaluations.rating import default_rubric, signs
from evaluations.rating.evidence import Sentence
from tests.gold.material import load, sentences

SIGNED = [item.key for item in default_rubric.ENGLISH.items() if item.sign]


def having(sign: str, text: str, language: str = "en") -> bool:
    return bool(signs.SIGNS[sign]([Sentence(1, text, 0.0, 0.0)], language))


@pytest.mark.parametrize(
    "text",
    [
        "Last spring I organised a concert.",
        "We've repaired fifty bikes.",
        "I taught my cousin, and she passed.",
        "Once a stranger asks me the way, and I walk with him to the station.",
        "Last year I read forty books.",
        "I wasn’t afraid any more.",
    ],
)
def test_what_has_happened_is_past_in_english(text: str) -> None:
    assert having("past", text)


@pytest.mark.parametrize(
    "text",
    [
        "Letztes Jahr habe ich ein Konzert organisiert.",
        "Meine Schwester sagt, dass ich ihr sehr geholfen habe.",
        "Ich spielte im Mai in der Aula vor.",
        "Im Sommer bin ich allein nach Wien gefahren.",
        "Da half ich meinem Opa im Garten.",
        "Vor zwei Jahren ziehen wir um, und ich kenne keinen.",
        "Ich hab mir das selbst beigebracht.",
    ],
)
def test_what_has_happened_is_past_in_german(text: str) -> None:
    assert having("past", text, "de")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I live in a small town with my parents.", "en"),
        ("I am honest and helpful, and I'm interested in art.", "en"),
        ("I need good food and a hundred friends.", "en"),
        ("I want to be an electrician.", "en"),
        ("I have had lessons since I was eight, and I play in the orchestra every Wednesday.", "en"),
        ("I've played basketball for six years, in a team, and we train on Tuesdays.", "en"),
        ("Ich spiele Geige, seit ich acht war.", "de"),
        ("Ich möchte heute gute Noten.", "de"),
        ("Ich bin fröhlich und heiße Lena.", "de"),
        ("Mehr weiß ich nicht.", "de"),
        ("Event ist wahr, Beleg ist wahr.", "de"),
    ],
)
def test_what_is_so_now_is_not_past(text: str, language: str) -> None:
    assert not having("past", text, language)


@pytest.mark.parametrize(
    ("text", "language", "has"),
    [
        ("I want to study law because my aunt was treated unfairly.", "en", True),
        ("That is why I am here.", "en", True),
        ("It makes me forget everything else.", "en", True),
        ("I am also honest and helpful.", "en", False),
        ("Ich will das werden, weil ich gern baue.", "de", True),
        ("Seitdem weiß ich, was ich werden will.", "de", True),
        ("Ich mag Pizza und Musik.", "de", False),
    ],
)
def test_a_reason_is_joined_by_a_word(text: str, language: str, has: bool) -> None:
    assert having("reason", text, language) is has


def test_an_ending_is_near_the_end() -> None:
    said = [Sentence(number, f"Sentence {number}.", 0.0, 0.0) for number in range(1, 8)]
    assert signs.ending(said, "en") == {5, 6, 7}
    assert signs.ending(said[:1], "xx") == {1}


@pytest.mark.parametrize("sign", ["past", "reason"])
def test_in_a_language_without_a_list_every_sentence_has_it(sign: str) -> None:
    assert having(sign, "Jag bor i en liten stad.", "sv")


@pytest.mark.parametrize("markings", ["markings-a", "markings-b"])
@pytest.mark.parametrize("key", SIGNED)
def test_whatever_a_marker_found_to_show_an_item_has_its_sign(key: str, markings: str) -> None:
    """Of the gold set, whose markers knew of no signs: a sentence without one would cost a student points."""
    sign = next(item.sign for item in default_rubric.ENGLISH.items() if item.key == key)
    marked, shown = load(markings), 0
    for text in [*load("introductions"), *load("ladder")]:
        found = marked[text["id"]]
        if numbers := found["items"][key] and found["sentences"][key]:
            said = [Sentence(at, one, 0.0, 0.0) for at, one in enumerate(sentences(text["text"]), start=1)]
            assert signs.SIGNS[sign](said, text.get("language", "en")).intersection(numbers), (text["id"], numbers)
            shown += 1
    assert shown >= 25
