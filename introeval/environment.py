"""Environment variables, each read whole or refused with its name and its text. An empty one is as good as none:
compose and systemd files have lines with nothing behind the `=`.

Nothing is guessed: a unit (`5m`), a separator (`1,000`) or a word that is neither yes nor no would make a lab run for a
term on a figure that nobody wrote.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

YES = frozenset({"1", "true", "t", "yes", "y", "on"})
NO = frozenset({"0", "false", "f", "no", "n", "off"})
LARGEST = 1e9  # thirty years in seconds, a petabyte in MB: above it are slips, and figures that overflow later

_HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]")  # as Django compares it: no scheme, no port
_ORIGIN = re.compile(r"https?://(\*\.)?([\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_EMAIL = re.compile(r"[^@\s,]+@[\w-]+(\.[\w-]+)*")
_SERVICE = re.compile(r"[a-z][a-z0-9]*://[^\s/].*")
_PASSWORD = re.compile(r"(//[^/@:]*):[^/@]*@")


def refusal(name: str, wanted: str, given: str) -> ImproperlyConfigured:
    """What a value is refused with; passwords in addresses are left out."""
    shown = _PASSWORD.sub(r"\1:…@", given)
    return ImproperlyConfigured(f"{name} must be {wanted}, it is {shown!r}")


def text(name: str, default: str = "", *, longest: int | None = None) -> str:
    """The variable as it is."""
    value = os.environ.get(name) or default
    if longest is not None and len(value) > longest:
        raise refusal(name, f"at most {longest} characters", value)
    return value


def folder(name: str, default: Path) -> Path:
    """The variable as the path of a directory, there or still to be made, without links in it."""
    path = Path(os.path.realpath(text(name, str(default))))
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise refusal(name, f"a path that a directory can have ({error.strerror})", text(name)) from None
    return path


def flag(name: str, *, default: bool) -> bool:
    """The variable as yes or no, in any of the usual words."""
    value = text(name).strip()
    if value and value.lower() not in YES | NO:
        raise refusal(name, "true or false", value)
    return value.lower() in YES if value else default


def positive(name: str, default: float, *, most: float = LARGEST) -> float:
    """The variable as a number above 0."""
    value = _number(name, "a plain number above 0, without a unit", default)
    if not 0 < value <= most:
        raise refusal(name, f"above 0 and at most {most:,.0f}", text(name))
    return value


def count(name: str, default: int, *, least: int = 1, most: float = LARGEST) -> int:
    """The variable as a whole number."""
    value = _number(name, f"a whole number, {least} or more", default)
    if not value.is_integer() or not least <= value <= most:
        raise refusal(name, f"a whole number from {least} to {most:,.0f}", text(name))
    return int(value)


def pair(name: str, warning: float, critical: float) -> tuple[float, float]:
    """The variable as two numbers, 0 or more, parted by a comma: from where on it is a warning, and critical."""
    wanted = f"two plain numbers, 0 or more, parted by a comma, like {warning:g},{critical:g}"
    given = text(name).strip()
    parts = given.split(",") if given else [str(warning), str(critical)]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise refusal(name, wanted, given) from None
    if len(numbers) != 2 or not all(0 <= number <= LARGEST for number in numbers):
        raise refusal(name, wanted, given)
    return numbers[0], numbers[1]


def addresses(name: str) -> list[str]:
    """The variable as e-mail addresses, parted by commas."""
    return _parts(name, _EMAIL, "e-mail addresses, parted by commas", [])


def services(name: str) -> list[str]:
    """The variable as apprise's addresses, parted by blanks. They are secrets: what is refused is not shown."""
    found = text(name).split()
    for number, part in enumerate(found, start=1):
        if not _SERVICE.fullmatch(part):
            wanted = "addresses like ntfys://topic, parted by blanks"
            raise ImproperlyConfigured(f"{name} must be {wanted}: no. {number} is none")
    return found


def _number(name: str, wanted: str, default: float) -> float:
    given = text(name).strip()
    try:
        value = float(given or default)
    except ValueError:
        raise refusal(name, wanted, given) from None
    if not math.isfinite(value):
        raise refusal(name, wanted, given)
    return value


def one_of(name: str, *choices: str) -> str:
    """The variable as one of `choices`; the first is the default."""
    value = text(name, choices[0])
    if value not in choices:
        raise refusal(name, f"one of {', '.join(choices)}", value)
    return value


def hosts(name: str, default: list[str]) -> list[str]:
    """The variable as names of this site, parted by commas, as a browser's `Host` is compared with them."""
    return _parts(name, _HOST, "names without scheme and port, parted by commas (an IPv6 address in brackets)", default)


def origins(name: str) -> list[str]:
    """The variable as `scheme://name[:port]`, parted by commas."""
    return _parts(name, _ORIGIN, "like https://lab.example or https://*.example:8443, parted by commas", [])


def _parts(name: str, pattern: re.Pattern[str], wanted: str, default: list[str]) -> list[str]:
    parts = [part for given in text(name).split(",") if (part := given.strip())]
    for part in parts:
        if not pattern.fullmatch(part):
            raise refusal(name, wanted, part)
    return parts or default


def address(name: str, default: str) -> str:
    """The variable as the http or https address of a server."""
    value, wanted = text(name, default), "an address like http://127.0.0.1:11434"
    parts = _split(name, wanted, value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise refusal(name, wanted, value)
    return value


def broker(name: str, default: str) -> str:
    """The variable as the address of a Redis or Valkey server."""
    value, wanted = text(name, default), "an address like redis://127.0.0.1:6379 or unix:///run/valkey.sock"
    parts = _split(name, wanted, value)
    remote = parts.scheme in ("redis", "rediss") and parts.hostname and re.fullmatch(r"(/\d*)?", parts.path)
    if not (remote or (parts.scheme == "unix" and len(parts.path) > 1)) or parts.fragment:
        raise refusal(name, wanted, value)
    if parts.query:
        import redis  # takes longer than all of the settings, and next to nobody has options there

        try:
            redis.ConnectionPool.from_url(value).make_connection()  # connects at the first command only
        except (ValueError, TypeError) as error:
            raise refusal(name, f"{wanted}, with options that redis-py knows ({error})", value) from None
    return value


def _split(name: str, wanted: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise refusal(name, wanted, value) from None
    if re.search(r"\s", value):
        raise refusal(name, wanted, value)
    return parts


def time_zone(name: str, default: str) -> str:
    """The variable as a name of the time zone database, such as `Europe/Berlin`."""
    value = text(name, default)
    if not is_zone(value):
        raise refusal(name, "a time zone like Europe/Berlin", value)
    return value


def machine_zone(etc: Path = Path("/etc")) -> str:
    """The time zone that this machine's clock shows, by its name; UTC where it has none with a name."""
    link, file = etc / "localtime", etc / "timezone"
    names = [text("TZ").removeprefix(":")]
    if link.is_symlink():  # …/zoneinfo/Europe/Berlin
        names.append(str(link.readlink()).rpartition("/zoneinfo/")[2])
    if file.is_file():
        names.append(file.read_text(errors="replace").strip())
    return next(filter(is_zone, names), "UTC")


def machine_language(known: Sequence[str]) -> str:
    """The one of `known`, two letters each, that this account's locale speaks; else the first of them."""
    said = text("LC_ALL") or text("LC_MESSAGES") or text("LANG")
    return said[:2].lower() if said[:2].lower() in known else known[0]


def is_zone(name: str) -> bool:
    """Whether the time zone database has one of that name."""
    try:
        return bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # not there, a path that leads elsewhere, a directory
        return False
