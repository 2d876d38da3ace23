"""One catalogue for pages, API, admin and commands; its page in docs/ is written from it."""

from __future__ import annotations

import ast

import pytest

from evaluations.errors import catalogue
from tests.evaluations.errors import raised


def test_every_code_that_is_raised_has_words() -> None:
    missing = set(raised.raised()) - set(catalogue.CATALOGUE)
    assert not missing, f"give them words in evaluations/errors/catalogue.py: {sorted(missing)}"


def test_no_code_has_words_that_nothing_can_raise() -> None:
    assert set(catalogue.CATALOGUE) <= set(raised.raised())


def test_codes_are_found_however_they_are_given() -> None:
    source = """
raise Permanent("why", code="a")
raise RefusedError(413, "b", detail="why")
class One(StageError):
    default_code: ClassVar[str] = "c"
class Two(StageError):
    default_code = "d"
code = "e" if full else "f"
_move(request, pk, verb, otherwise="g")
raise Permanent("why", code="h" if full else "i")
"""
    assert {code for code, _ in raised.codes_of(ast.parse(source), "any.py")} == set("abcdefghi")


def test_the_page_in_docs_is_the_catalogue() -> None:
    assert raised.PAGE.read_text() == raised.page(), "run python -m tests.evaluations.errors.raised"


@pytest.mark.parametrize("code", catalogue.CATALOGUE)
def test_every_error_says_what_happened_and_what_to_do(code: str) -> None:
    words = catalogue.explain(code)
    assert words.title
    assert not words.title.endswith(".")
    assert words.what.endswith(".")
    assert words.todo.endswith(".")


def test_a_code_nobody_has_words_for_is_unexpected() -> None:
    assert catalogue.explain("no_such_code") == catalogue.explain("unexpected")


def test_a_program_is_problem_the_same_words_with_what_is_special_about_the_case() -> None:
    problem = catalogue.problem("invalid_request", id="17-4", detail="page: too small.")
    words = catalogue.explain("invalid_request")
    assert problem == {
        "code": "invalid_request",
        "title": words.title,
        "what": f"{words.what} page: too small.",
        "todo": words.todo,
        "id": "17-4",
    }
