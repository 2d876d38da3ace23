"""One stream of log lines on stderr: readable on a terminal, JSON for machines; ids in them, never people.

LOG_FORMAT is `console` or `json`; unset, a terminal gets the first and anything else the second. LOG_LEVEL is a name of
the standard library's (`INFO` by default).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# What a person typed, said or is called; a line names rows by id.
PERSONAL = {"first_name", "full_name", "last_name", "username", "student", "email", "password", "filename", "file_name"}
PERSONAL |= {"prompt", "answer", "transcript"}
HIDDEN = "[hidden]"

# PostgreSQL repeats a row's values there.
_DETAIL = re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE)
_KEY_VALUE = re.compile(r"(Key \([^)]*\)=)\([^\n]*?\)(?= (?:already|is|conflicts)|$)", re.MULTILINE)

# axes writes user names into its messages; the admin shows the same attempts from the database. httpx tells each call.
# psycopg sets a level of its own where it finds none, and would not heed ours.
QUIETER = {"axes": logging.CRITICAL, "httpx": logging.WARNING, "httpcore": logging.WARNING, "psycopg": logging.WARNING}

# The channel layer repeats its traceback every second while the broker is away.
REPEATING = ("channels_redis.pubsub",)
REPEAT_SECONDS = 60.0


class Rarely(logging.Filter):
    """Lets a message through once in REPEAT_SECONDS, however often it is said."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        repeated = record.created - self._said.get(record.msg, 0.0) < REPEAT_SECONDS
        if not repeated:
            self._said[record.msg] = record.created
        return not repeated


def configure(stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines to `stream`, stderr by default. Can be called again.

    Raises:
        SystemExit: LOG_FORMAT or LOG_LEVEL can't be read.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(shared, terminal=stream.isatty()))
    root = logging.getLogger()
    # Earlier plain ones go (ours, or a `basicConfig` of daphne's); what a test runner has put there stays.
    root.handlers = [each for each in root.handlers if type(each) is not logging.StreamHandler] + [handler]
    root.setLevel(_chosen("LOG_LEVEL", "INFO", list(logging.getLevelNamesMapping())))
    for name, level in QUIETER.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    for name in REPEATING:
        logging.getLogger(name).filters = [Rarely()]


def scrub(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Hide what could name a student, wherever in the line it stands."""
    return {key: HIDDEN if key in PERSONAL else _scrubbed(value) for key, value in event.items()}


def _scrubbed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _KEY_VALUE.sub(rf"\1({HIDDEN})", _DETAIL.sub(rf"\1: {HIDDEN}", value))


def _formatter(shared: list[Processor], *, terminal: bool) -> logging.Formatter:
    style = _chosen("LOG_FORMAT", "console" if terminal else "json", ["console", "json"])
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if style == "console":
        # Plain tracebacks: rich ones print local variables, and those hold names and transcripts.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            scrub,
            renderer,
        ],
    )


def _chosen(variable: str, default: str, choices: Sequence[str]) -> str:
    value = os.environ.get(variable) or default
    if value not in choices:
        sys.exit(f"{variable} must be one of {', '.join(choices)}, it is {value!r}")
    return value
