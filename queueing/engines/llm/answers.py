"""What counts as an answer: strict JSON, valid against its schema, of a bounded size. Nothing is ever repaired.

A thought before the object and a fence around it are no part of the answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NoReturn

from jsonschema import Draft202012Validator, TypeChecker, validators
from jsonschema.exceptions import best_match

from queueing.engines.base import JSONSchema, LanguageOptions, Prompt
from queueing.exceptions import Transient

MAX_CHARACTERS = 65_536  # of any answer
MAX_BLANKS = 256  # in a row; models under a JSON grammar can fall into endless whitespace
MAX_CHARACTERS_PER_TOKEN = 64  # far above any tokenizer's mean: only a server that ignores max_tokens gets there
LETTERS_PER_TOKEN = 2.5  # a low bound: English has 4 to 5
TEMPLATE_TOKENS = 64  # what a chat template adds around two messages, generously

_TOO_MANY_BLANKS = re.compile(rf"\s{{{MAX_BLANKS + 1}}}")
THOUGHT_START, THOUGHT_END = "<think>", "</think>"
_FENCED = re.compile(r"^```\w*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[^ \t\r\n]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes neither NUL nor half a surrogate pair


class UnusableAnswerError(ValueError):
    """The answer can't be used; `code` is a `StageError`'s."""

    code: ClassVar[str]


class InvalidAnswerError(UnusableAnswerError):
    """It is not what was requested; the message says how, so that the model can act on it."""

    code = "invalid_answer"


class CutAnswerError(UnusableAnswerError):
    """It ended at the number of tokens that it was allowed."""

    code = "answer_cut"


class CutPromptError(UnusableAnswerError):
    """It answers a prompt whose beginning the model did not see."""

    code = "prompt_cut"


def check(text: str, schema: JSONSchema) -> dict[str, Any]:
    """The answer as a dict.

    Raises:
        InvalidAnswerError: it is not one JSON object, or not valid against the schema.
    """
    return validated(parse(text), schema)


def validated(value: dict[str, Any], schema: JSONSchema) -> dict[str, Any]:
    """The value as it is, if it is valid against the schema."""
    if fault := best_match(_Validator(schema).iter_errors(value)):
        raise InvalidAnswerError(f"{fault.json_path}: {fault.message}"[:300])
    return value


def correction(fault: InvalidAnswerError) -> str:
    """What the prompt of the second request ends with."""
    return f"\n\nYour last answer was not valid: {fault}\nAnswer again with one JSON object that follows the schema."


def fewest_tokens(prompt: Prompt) -> int:
    """No tokenizer makes fewer tokens of this prompt.

    Byte-pair tokenizers split the text before each word and SentencePiece's pieces don't reach across a blank, so each
    run of characters between blanks takes at least one. What a chat template adds only makes it more.
    """
    return len(_WORD.findall(f"{prompt.system} {prompt.user}"))


def most_tokens(prompt: Prompt) -> int:
    """No tokenizer makes more tokens of this prompt.

    Letters and blanks go several to a token; digits, signs and the bytes of other scripts may take one each.
    """
    text = prompt.system + prompt.user
    letters = sum(c.isascii() and (c.isalpha() or c.isspace()) for c in text)
    others = len(text.encode("utf-8", "surrogatepass")) - letters
    return math.ceil(letters / LETTERS_PER_TOKEN) + others + TEMPLATE_TOKENS


class GrowingAnswer:
    """An answer while it is generated, stopped as soon as it can't become good any more."""

    def __init__(self, options: LanguageOptions) -> None:
        self.text = ""
        self._most = min(options.max_tokens * MAX_CHARACTERS_PER_TOKEN, MAX_CHARACTERS)

    def add(self, piece: str) -> None:
        """Take the next piece.

        Raises:
            Transient: more than MAX_BLANKS blanks in a row (`invalid_answer`), or far too long (`answer_cut`).
        """
        fresh = max(0, len(self.text) - MAX_BLANKS)
        self.text += piece
        if _TOO_MANY_BLANKS.search(self.text, fresh):
            raise Transient(f"The model wrote more than {MAX_BLANKS} blanks in a row.", code="invalid_answer")
        if len(self.text) > self._most:
            raise Transient(f"The model wrote more than {self._most} characters.", code="answer_cut")


def json_part(text: str) -> str:
    """The text without a thought before it (`… </think>`) and without a fence around it (three backticks).

    Some models write them into the answer. What is in more than one fence is left as it is, and so is JSON that has
    such marks in its own strings.
    """
    if text.lstrip().startswith("{"):
        return text
    answer = text.rpartition(THOUGHT_END)[2]
    fenced = _FENCED.findall(answer)
    return fenced[0] if len(fenced) == 1 else answer


def is_only_thought(text: str) -> bool:
    """Whether the text is a thought that does not end."""
    return text.lstrip().startswith(THOUGHT_START) and THOUGHT_END not in text


def parse(text: str) -> dict[str, Any]:
    """The one JSON object that the text is, see `json_part`.

    Raises:
        InvalidAnswerError: it is anything else.
    """
    try:
        value = json.loads(json_part(text), object_pairs_hook=_distinct, parse_constant=_not_json, parse_float=_finite)
    except json.JSONDecodeError as fault:
        raise InvalidAnswerError(f"it is not JSON: {fault}") from None
    except RecursionError:
        raise InvalidAnswerError("it is nested too deeply") from None
    except ValueError as fault:
        raise InvalidAnswerError(str(fault)) from None
    if not isinstance(value, dict):
        raise InvalidAnswerError("it is not a JSON object")
    if any(_UNSTORABLE.search(text) for text in _strings(value)):
        raise InvalidAnswerError("it holds characters that are not text")
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise InvalidAnswerError(f"the key {key!r} is there twice")
        value[key] = item
    return value


def _not_json(constant: str) -> NoReturn:
    raise InvalidAnswerError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise InvalidAnswerError(f"the number {digits[:20]} is out of range")
    return number


def _is_integer(_checker: TypeChecker, value: object) -> bool:
    # JSON Schema takes 8.0 for an integer; what reads the answer would get a float.
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = validators.extend(  # type: ignore[no-untyped-call]  # its stub leaves the result open
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
)
