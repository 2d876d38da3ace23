from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(db: None) -> Run:
    """A command in this process, with the exit code that its process would have."""

    def call(*words: str) -> Ran:
        out, err = StringIO(), StringIO()
        code = 0
        try:
            call_command(*words, stdout=out, stderr=err)
        except CommandError as error:
            # At a terminal the parser itself exits with 2; called from here it raises with this beginning.
            code = 2 if str(error).startswith("Error: ") else error.returncode
            err.write(str(error))
        except SystemExit as end:
            code = int(end.code or 0)
        return Ran(code, out.getvalue(), err.getvalue())

    return call
