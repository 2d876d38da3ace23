"""One stream of log lines on stderr: readable on a terminal, JSON for machines; ids in them, never people.

LOG_FORMAT is `console` or `json`; unset, a terminal gets the first and anything else the second. LOG_LEVEL is a name of
the standard library's (`INFO` by default). With LOG_FILE the lines also go to that file, as JSON, which site
and workers may share.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from introeval.environment import text

# What a person typed, said or is called; a line names rows by id.
PERSONAL = {"first_name", "full_name", "last_name", "username", "student", "email", "password", "filename", "file_name"}
PERSONAL |= {"prompt", "answer", "transcript"}
HIDDEN = "[hidden]"

# PostgreSQL repeats a row's values there.
_DETAIL = re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE)
_KEY_VALUE = re.compile(r"(Key \([^)]*\)=)\([^\n]*?\)(?= (?:already|is|conflicts)|$)", re.MULTILINE)

# axes writes user names into its messages; the admin shows the same attempts from the database. httpx tells each call.
# psycopg sets a level of its own where it finds none, and would not heed ours. apprise and what it calls with tell
# addresses, and there tokens are part of them.
QUIETER = {"axes": logging.CRITICAL, "httpx": logging.WARNING, "httpcore": logging.WARNING, "psycopg": logging.WARNING}
QUIETER |= dict.fromkeys(("apprise", "urllib3", "requests"), logging.CRITICAL + 1)

# The channel layer repeats its traceback every second while the broker is away.
REPEATING = ("channels_redis.pubsub",)
REPEAT_SECONDS = 60.0

FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5  # beside the one that is written
FOR_LINES = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
MODE = 0o640


class SharedLogFile(logging.Handler):
    """Appends to a file that several processes write, and begins a new one when it is full: `x.log.1` is the newest old
    one. Who writes holds a lock on `x.log.lock`, so no line goes to a file that another process has just put aside.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            os.close(os.open(path, FOR_LINES, MODE))

    def emit(self, record: logging.LogRecord) -> None:
        # A disk that is full is told by an alert, and the line stands on stderr: whoever logs goes on.
        with suppress(OSError):
            self._write((self.format(record) + "\n").encode(errors="backslashreplace"))

    def _write(self, line: bytes) -> None:
        with self._locked():
            if self.path.exists() and self.path.stat().st_size + len(line) > FILE_BYTES:
                self._put_aside()
            file = os.open(self.path, FOR_LINES, MODE)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    def _put_aside(self) -> None:
        for number in range(FILES_KEPT - 1, 0, -1):
            with suppress(FileNotFoundError):
                Path(f"{self.path}.{number}").replace(f"{self.path}.{number + 1}")
        self.path.replace(f"{self.path}.1")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Opened anew each time: a lock belongs to what was opened, which a forked process shares.
        file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


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


def is_no_departure(record: logging.LogRecord) -> bool:
    """False for the line, with a traceback, on a browser that had left when the site stopped.

    Django's handler waits for its leaving in a task that nobody asks any more once daphne has ended the request.
    """
    error = record.exc_info[0] if record.exc_info else None
    return error is None or error.__name__ != "RequestAborted"


def configure(stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines to `stream`, stderr by default. Can be called again.

    Raises:
        SystemExit: LOG_FORMAT or LOG_LEVEL can't be read, or LOG_FILE not be written.
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
    style = _chosen("LOG_FORMAT", "console" if stream.isatty() else "json", ["console", "json"])
    handler.setFormatter(_formatter(shared, style, colors=stream.isatty()))
    root = logging.getLogger()
    # Earlier plain ones go (ours, or a `basicConfig` of daphne's); what a test runner has put there stays.
    root.handlers = [each for each in root.handlers if type(each) not in (logging.StreamHandler, SharedLogFile)] + [
        handler
    ]
    if file := _file():
        file.setFormatter(_formatter(shared, "json", colors=False))
        root.addHandler(file)
    root.setLevel(_chosen("LOG_LEVEL", "INFO", list(logging.getLevelNamesMapping())))
    for name, level in QUIETER.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    for name in REPEATING:
        logging.getLogger(name).filters = [Rarely()]
    logging.getLogger("asyncio").filters = [is_no_departure]


def scrub(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Hide what could name a student, wherever in the line it stands."""
    return {key: HIDDEN if key in PERSONAL else _scrubbed(value) for key, value in event.items()}


def _scrubbed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _KEY_VALUE.sub(rf"\1({HIDDEN})", _DETAIL.sub(rf"\1: {HIDDEN}", value))


def _file() -> SharedLogFile | None:
    path = text("LOG_FILE")
    try:
        return SharedLogFile(Path(os.path.realpath(path))) if path else None
    except OSError as error:
        sys.exit(f"LOG_FILE can't be written: {error}")


def _formatter(shared: list[Processor], style: str, *, colors: bool) -> logging.Formatter:
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if style == "console":
        # Plain tracebacks: rich ones print local variables, and those hold names and transcripts.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
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
