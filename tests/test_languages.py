"""The catalogues in locale/ and the sources: all messages are translated, and all words for people are messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from babel.messages.catalog import Catalog, Message
from django.conf import settings
from django.utils.translation import gettext, override

from scripts import languages
from scripts.languages import ROOT

CATALOGUES: Final = {path.parent.parent.name: path for path in languages.catalogues()}
PLACEHOLDER: Final = re.compile(r"%\(\w+\)s|%%|\{\w+\}|</?\w+[^>]*>")
each_language = pytest.mark.parametrize("language", CATALOGUES)

# What is read by people who use the pages, and nothing that only staff or programs read.
SPOKEN: Final = (
    *(
        f"pages/{name}"
        for name in (
            *("board/__init__", "board/export", "captions", "charts", "languages", "progress", "result"),
            *("rows/__init__", "rows/queue_view"),
            *("speaking", "rows/timeline", "lab/graphs", "lab/phases", "lab/tasks"),
        )
    ),
    *("errors/catalogue", "errors/refusals", "rating/feedback", "templatetags/evaluations"),
    *("views/classes", "views/dashboard", "views/operations", "views/record", "views/submissions"),
    "../queueing/report/estimates",
)
MARKS: Final = set(languages.KEYWORDS)
READ_ALOUD: Final = {"alt", "aria-label", "content-title", "hx-confirm", "hx-prompt", "label", "placeholder", "title"}
NAMES: Final = {"IntroEval", "MB", "Markdown", "OPML", "SVG"}  # the same in every language


def messages(catalogue: Catalog) -> dict[tuple[str | None, str], Message]:
    return {(each.context, _first(each.id)): each for each in catalogue if each.id}


def _first(id: Any) -> str:
    return str(id if isinstance(id, str) else id[0])


def texts(of: Any) -> list[str]:
    return [of] if isinstance(of, str) else list(of)


# Pages that teachers and operators read, and no student; their words must be in no other place to be looked at here.
FOR_STAFF: Final = re.compile(
    r"templates/evaluations/(_board|_lab|_review|_rerating|rerating|rubric|_old_and_new|calibration|class|lab|retry_failed"
    r"|review|student\.html|members/(import|overview|cards)|privacy/(erase|class))"
    r"|evaluations/(views/(lab|review|reratings|calibration|rubrics|classes)|pages/(board|lab|review|reratings|rubric)"
    r"|access/members/roster)"
)
FAMILIAR: Final = re.compile(
    r"\b(du|dich|dir|dein|deine[mnrs]?)\b|\b(Füge|Wähle|Drucke|Lösche|Versuch|Leg|Gib|Öffne)\b", re.IGNORECASE
)


def test_german_pages_say_sie_to_whom_they_are_for_if_only_staff_reads_them() -> None:
    for_staff = [each for each in languages.read(CATALOGUES["de"]) if each.id and each.locations]
    for_staff = [each for each in for_staff if all(FOR_STAFF.match(path) for path, _ in each.locations)]
    assert len(for_staff) > 300
    assert [text for each in for_staff for text in texts(each.string) if FAMILIAR.search(text)] == []


def test_there_is_a_catalogue_for_each_language_but_the_one_of_the_sources() -> None:
    assert set(CATALOGUES) == set(dict(settings.LANGUAGES)) - {settings.LANGUAGE_CODE}


@each_language
def test_a_catalogue_has_every_message_of_the_sources_and_no_other(language: str) -> None:
    wanted, has = messages(languages.found()), messages(languages.read(CATALOGUES[language]))
    assert has.keys() == wanted.keys(), "run `make messages`, then translate"


@each_language
def test_every_message_is_translated_in_all_its_forms(language: str) -> None:
    catalogue = languages.read(CATALOGUES[language])
    assert not [message.id for message in catalogue if message.fuzzy and message.id]
    for message in messages(catalogue).values():
        forms = texts(message.string)
        assert all(forms), message.id
        assert len(forms) == (1 if isinstance(message.id, str) else catalogue.num_plurals), message.id


@each_language
def test_translations_keep_what_is_filled_in_and_bring_no_markup_of_their_own(language: str) -> None:
    for message in messages(languages.read(CATALOGUES[language])).values():
        wanted = {one for text in texts(message.id) for one in PLACEHOLDER.findall(text)}
        for text in texts(message.string):
            assert set(PLACEHOLDER.findall(text)) == wanted, text
            assert not re.search(r"[<>\"&]", PLACEHOLDER.sub("", text)), text  # it may stand in an attribute


@each_language
def test_what_django_reads_was_made_of_the_catalogue(language: str) -> None:
    with override(language):
        for message in messages(languages.read(CATALOGUES[language])).values():
            if isinstance(message.id, str) and not message.context:
                assert gettext(message.id) == message.string


# Words that nobody marked


class Words(HTMLParser):
    """The letters of a template that are neither marked nor data."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.note(data)

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in READ_ALOUD:
                self.note(value or "")

    def note(self, text: str) -> None:
        # One letter alone is no word, but what is printed on a key.
        self.found += [text.strip()] if set(re.findall(r"[^\W\d_]{2,}", text)) - NAMES else []


def unmarked_in_template(source: str) -> list[str]:
    marked = r"{% blocktrans(?:late)?\b.*?{% endblocktrans(?:late)? %}|{%.*?%}|{{.*?}}|{#.*?#}"
    words = Words()
    words.feed(re.sub(marked, "", source, flags=re.DOTALL))
    return words.found


def unmarked_in_module(source: str) -> list[str]:
    """Sentences and phrases that are written in a module outside of a call that marks them, docstrings apart."""
    return [text for text in _phrases(ast.parse(source)) if re.search(r"[^\W\d_]{2,} .*[^\W\d_]{2,}", text)]


def _phrases(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):  # a docstring
            return
        case ast.Call(func=ast.Name(id=name)) if name in MARKS:
            return
        case ast.Call(func=ast.Name(id="Http404")):  # for the log
            return
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            for part in (part for part in parts if isinstance(part, ast.FormattedValue)):
                # Even what is marked: `make messages` doesn't look into a text.
                yield from (str(each.value) for each in ast.walk(part) if isinstance(each, ast.Constant))
            return
    for child in ast.iter_child_nodes(node):
        yield from _phrases(child)


def templates() -> list[Path]:
    patterns = [pattern for pattern in languages.SOURCES if pattern.endswith(".html")]
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.stem)
def test_a_template_has_no_word_that_is_not_marked(path: Path) -> None:
    assert unmarked_in_template(path.read_text()) == []


@pytest.mark.parametrize("name", SPOKEN)
def test_a_module_that_speaks_to_people_marks_its_words(name: str) -> None:
    assert unmarked_in_module((ROOT / "evaluations" / f"{name}.py").read_text()) == []


def test_an_unmarked_word_is_found() -> None:
    page = (
        '<p title="A title">{% translate "x" %} Hello</p>{% blocktranslate %}y{% endblocktranslate %}<i>IntroEval</i>'
    )
    assert unmarked_in_template(page) == ["A title", "Hello"]
    assert unmarked_in_module("say(f\"{_('It is not.')}\")") == ["It is not."]
    module = '"""Doc string."""\nsay(_("It is marked."))\nsay(f"It {is_} not.")\nkey = "some-key"'
    assert unmarked_in_module(module) == ["It {} not."]
    assert said_in_script('say("It is."); say(word("x")); // "It is."\nsay(`Or ${that} is`);') == [
        "It is.",
        "Or ${that} is",
    ]


def said_in_script(source: str) -> list[str]:
    """Texts of a script that begin like a sentence, comments apart."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)
    found = [plain or template for plain, template in re.findall(r"\"([^\"\n]*)\"|`([^`]*)`", code)]
    return [text for text in found if re.match(r"[A-Z][a-z]*\b.* \S+", text)]


@pytest.mark.parametrize("path", sorted((ROOT / "evaluations" / "static").rglob("*.js")), ids=lambda path: path.stem)
def test_a_script_says_only_what_is_on_its_page(path: Path) -> None:
    """Its words are in the page's template `#words`, by name."""
    assert said_in_script(path.read_text()) == []


def test_messages_are_found_in_every_way_of_marking_them() -> None:
    module = (
        'gettext(x); _("a" "b"); ngettext("one", "many", n); pgettext("of", "c"); npgettext("of", "d", "e", n); _(y)'
    )
    found = [("ab", None), (("one", "many"), None), ("c", "of"), (("d", "e"), "of")]
    assert list(languages.messages(module, is_template=False)) == found
    page = """it's {% translate "a" %} {% translate "b" context "of" as c %}
        {% blocktranslate trimmed count n=x %} {{ n }} "one" {% plural %} {{ n }} many {% endblocktranslate %}
        {{ x|f:_("d") }}"""
    found = [("a", None), ("b", "of"), (('%(n)s "one"', "%(n)s many"), None), ("d", None)]
    assert list(languages.messages(page, is_template=True)) == found
