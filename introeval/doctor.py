"""What an operator wants to know before trusting a machine: one function per question, each returning what it found.

A check raises nothing for what it is there to find; `run_checks` turns any other exception into a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from django.conf import settings
from django.db import DatabaseError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor

from introeval import checks, embedded
from introeval.backup.manifest import RESTORING
from introeval.database import ANSWER_SECONDS, UnusableDatabaseError, ask, first_line, limits
from introeval.database import name as name_of_database
from introeval.embedded.errors import DISK_FULL
from queueing.worker import restart

if TYPE_CHECKING:
    from queueing.policy.memory_plan import MemoryPlan

MIN_FORMAT_LIBRARY = (62, 12)  # of FFmpeg 8.1: CVE-2026-40962
PROBE_SECONDS = 5.0


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    level: Level
    found: str
    fix: str = ""  # what to do about it, a command wherever there is one
    optional: bool = False  # work waits for it and goes on when it is back; no reason not to start

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Check = Callable[[], Finding]


def ok(name: str, found: str) -> Finding:
    return Finding(name, Level.OK, found)


def warning(name: str, found: str, fix: str = "") -> Finding:
    return Finding(name, Level.WARNING, found, fix)


def failure(name: str, found: str, fix: str, *, optional: bool = False) -> Finding:
    return Finding(name, Level.FAILURE, found, fix, optional)


def software() -> Finding:
    unsuitable = list(checks.unsuitable_software())
    if unsuitable:
        return failure("software", "; ".join(unsuitable), "make setup")
    return ok("software", f"Python {sys.version.split()[0]}, every package new enough")


def decoder() -> Finding:
    import av

    found = av.library_versions["libavformat"]
    text = f"libavformat {'.'.join(map(str, found))}"
    if found < MIN_FORMAT_LIBRARY:
        return failure("decoder", f"{text}: known holes", "make setup")
    return ok("decoder", text)


def data_dir() -> Finding:
    where = _nearest(settings.DATA_DIR)
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(b"introeval")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in DISK_FULL:
            return failure("data directory", f"{where} takes no more: {error.strerror}", f"du -xsh {where}/*")
        fix = f'sudo chown -R "$(id -un)" {where}, or choose another place with DATA_DIR=DIR'
        return failure("data directory", f"{where} can't be written to: {error.strerror}", fix)
    if (where / RESTORING).exists():
        return failure("data directory", f"a restore into {where} has not come to its end", "run its command again")
    made = "" if where == settings.DATA_DIR else " (made at the first start)"
    return ok("data directory", f"{settings.DATA_DIR}{made}")


def disk_space() -> Finding:
    free, reserve = shutil.disk_usage(_nearest(settings.DATA_DIR)).free, settings.DISK_RESERVE_BYTES
    text = f"{_mib(free)} free, {_mib(reserve)} are kept in reserve"
    fix = f"free some space (du -xsh {settings.DATA_DIR}/*), or move DATA_DIR to a larger disk"
    if free < reserve:
        return failure("disk space", f"{text}: uploads are refused", fix, optional=True)
    if free < reserve + 4 * settings.UPLOAD_MAX_BYTES:
        return warning("disk space", f"{text}: room for few videos", fix)
    return ok("disk space", text)


def database() -> Finding:
    try:
        found = ask(connection.get_connection_params())
    except UnusableDatabaseError as error:
        return failure("database", f"{name_of_database()} {error.what}", error.fix)
    way = "" if found.is_local else ", encrypted" if found.is_encrypted else ", not encrypted"
    return ok("database", f"PostgreSQL {found.version}, {name_of_database()}{way}")


def sessions() -> Finding:
    """Whether every session keeps to its limits, also one that a pooler such as PgBouncer shares out by transaction."""
    name, bounds = "database sessions", limits(connection.settings_dict["OPTIONS"].get("options", ""))
    try:
        with _direct() as one, _direct() as other:
            lent = _backend(one) == _backend(other)  # both are open, so without a pooler these are two processes
            rows = other.execute("SELECT name FROM pg_settings WHERE name = ANY(%s) AND reset_val = '0'", [[*bounds]])
            unbounded = sorted(row[0] for row in rows)
    except psycopg.Error as error:
        return warning(name, f"unknown: {first_line(error)}")
    if not lent:
        return ok(name, "limits: " + ", ".join(f"{key} {value}" for key, value in bounds.items()))
    found = "a pooler gives each transaction another session"
    if unbounded:
        role = connection.settings_dict["USER"] or "the role"
        fix = " ".join(f"ALTER ROLE \"{role}\" SET {key} = '{bounds[key]}';" for key in unbounded)
        return warning(name, f"{found}, and the role has no {', '.join(unbounded)}", fix)
    if settings.DATABASE_POOL_SIZE:
        return warning(name, f"{found}, in which a cursor of the last one is gone", "DATABASE_POOL_SIZE=0")
    return ok(name, f"{found}; the role has the limits")


def _backend(asked: psycopg.Connection[Any]) -> int:
    row = asked.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def migrations() -> Finding:
    try:
        _direct().close()
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (psycopg.Error, DatabaseError) as error:
        return warning("migrations", f"unknown: {first_line(error)}")
    finally:
        connection.close()
    if pending:
        return warning("migrations", f"{len(pending)} to apply", "python manage.py migrate")
    return ok("migrations", "all applied")


def stored_videos() -> Finding:
    """By names and sizes; `verify_store --deep` reads every byte."""
    from evaluations.uploads import audit
    from queueing.exceptions import Infrastructure

    name, fix = "stored videos", "python manage.py verify_store"
    try:
        _direct().close()
        faults = audit.alarming()
    except ProgrammingError:
        return ok(name, "none yet")  # before the first migration there is no table of them
    except (psycopg.Error, DatabaseError) as error:
        return warning(name, f"unknown: {first_line(error)}")
    except Infrastructure as error:
        return warning(name, str(error), f"mount the disk of {settings.MEDIA_ROOT}")
    finally:
        connection.close()
    if faults:
        return warning(name, f"{faults['file_missing']} missing, {faults['file_damaged']} damaged", fix)
    return ok(name, f"all there, in {settings.MEDIA_ROOT}")


def _direct() -> psycopg.Connection[Any]:
    """A connection past the pool, whose only complaint is that time ran out."""
    own = {"connect_timeout": int(ANSWER_SECONDS), "autocommit": True}
    return psycopg.connect(**{**connection.get_connection_params(), **own})


def broker() -> Finding:
    import redis

    shown = _without_secrets(settings.REDIS_URL)
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS
    )
    try:
        facts = client.info("server")
    except redis.RedisError as error:
        fix = "start that server or correct REDIS_URL; without REDIS_URL an embedded one is used"
        return failure("broker", f"{shown} does not answer: {error}", fix, optional=True)
    finally:
        client.close()
    name = "Valkey" if facts.get("valkey_version") else "Redis"
    return ok("broker", f"{name} {facts.get('valkey_version') or facts['redis_version']}, {shown}")


def class_languages() -> Finding:
    """Whether each class speaks a language that the speech model understands."""
    from evaluations.models import Classroom
    from queueing.engines.speech import models

    name = "languages of classes"
    only = models.only_language(settings.STT_MODEL) if settings.STT_ENGINE != "simulated" else None
    try:
        _direct().close()
        others = Classroom.objects.exclude(rubric__language=only) if only else Classroom.objects.none()
        named = ", ".join(others.values_list("name", flat=True)[:5])
    except ProgrammingError:
        return ok(name, "no class yet")
    except (psycopg.Error, DatabaseError) as error:
        return warning(name, f"unknown: {first_line(error)}")
    finally:
        connection.close()
    if named:
        text = f"{settings.STT_MODEL} understands English only, and other languages are spoken in: {named}"
        return warning(name, text, "STT_MODEL=base, or a larger one without .en in its name")
    return ok(name, "each is understood" if only else f"{settings.STT_MODEL} understands many")


def mail() -> Finding:
    """Who is told of anything that they don't look for."""
    name = "mail"
    if not settings.MAIL_SERVER:
        return ok(name, "no EMAIL_HOST is named: students and teachers are not offered mail")
    told = "students and teachers may ask for mail"
    if not (settings.ALERT_EMAILS or settings.NOTIFY_URLS):
        return warning(name, f"{told}; nobody is told of alerts", "set ALERT_EMAILS or NOTIFY_URLS (docs/settings.md)")
    return ok(name, f"{told}; `manage.py notify_test` shows whether alerts arrive")


def model_servers() -> Finding:
    """What the workers found out by calling them: a server can be there, list its model and yet not serve it."""
    from queueing.models import Breaker

    name = "model servers"
    try:
        _direct().close()
        silent = list(Breaker.objects.open())
    except ProgrammingError:
        return ok(name, "not called yet")
    except (psycopg.Error, DatabaseError) as error:
        return warning(name, f"unknown: {first_line(error)}")
    finally:
        connection.close()
    if silent:
        text = "; ".join(f"{row.server}: {row.error}" for row in silent)
        return failure(name, f"left alone, {text}", "do what it says; work goes on by itself then", optional=True)
    return ok(name, "none is left alone")


def speech_model() -> Finding:
    from queueing.engines.speech import models
    from queueing.exceptions import Infrastructure

    name, engine, model = "speech model", settings.STT_ENGINE, settings.STT_MODEL
    if engine == "simulated":
        return warning(name, "simulated: transcripts are made up", "unset STT_ENGINE")
    if find_spec({"faster-whisper": "faster_whisper", "openai-whisper": "whisper"}[engine]) is None:
        return failure(name, f"{engine} is not installed", "make setup")
    try:
        folder = models.find(model)
    except Infrastructure as error:
        return failure(name, str(error), "make setup, or name a model's folder in STT_MODEL")
    languages = "English only" if models.only_language(model) else "many languages"
    return ok(name, f"{engine}, {model} ({languages}) in {folder}")


def extract_model() -> Finding:
    return _language_model("extract model", settings.LLM_EXTRACT_URL, settings.LLM_EXTRACT_MODEL)


def rate_model() -> Finding:
    return _language_model("rate model", settings.LLM_RATE_URL, settings.LLM_RATE_MODEL)


def judge() -> Finding:
    """Which model the scores come from, and whether it is one that can judge."""
    if settings.LLM_CAN_JUDGE:
        return ok("judge", "simulated" if settings.LLM_PROTOCOL == "simulated" else settings.LLM_RATE_MODEL)
    text = f"{settings.LLM_RATE_MODEL} is too small to judge: no model that can is installed"
    return warning("judge", text, "make judge, or set LLM_RATE_MODEL")


def restarts() -> Finding:
    """Whether this machine could restart a model server that hangs, as the settings say."""
    name = "restart of model servers"
    wanted = {"LLM_EXTRACT_RESTART": settings.LLM_EXTRACT_RESTART, "LLM_RATE_RESTART": settings.LLM_RATE_RESTART}
    actions = {variable: action for variable, text in wanted.items() if (action := restart.parse(text))}
    if settings.LLM_PROTOCOL not in ("ollama", "openai"):
        if actions:
            text = f"{' and '.join(actions)} set, but no server is called (LLM_PROTOCOL is {settings.LLM_PROTOCOL})"
            return warning(name, text, f"unset {' and '.join(actions)}")
        return ok(name, f"no server is called ({settings.LLM_PROTOCOL})")
    if len(actions) == 2 and settings.LLM_EXTRACT_URL == settings.LLM_RATE_URL and len(set(actions.values())) == 2:
        return warning(name, "two commands for one server; LLM_RATE_RESTART is used", "unset one of them")
    missing = sorted({action.program for action in actions.values() if shutil.which(action.program) is None})
    if missing:
        text = f"{' and '.join(missing)} not on PATH: a server that hangs would wait for a person"
        return failure(name, text, f"install it, or unset {' and '.join(actions)}", optional=True)
    if not actions:
        return ok(name, "none: a server that hangs waits for a person (LLM_EXTRACT_RESTART, LLM_RATE_RESTART)")
    return ok(name, "; ".join(sorted({str(action) for action in actions.values()})) + "; three times in ten minutes")


def _language_model(name: str, url: str, model: str) -> Finding:
    if settings.LLM_PROTOCOL == "simulated":
        return warning(name, "simulated: answers are made up", "unset LLM_PROTOCOL")
    if settings.LLM_PROTOCOL == "embedded":
        return _packaged_model(name, model)
    probe = {"ollama": _probe_ollama, "openai": _probe_openai}[settings.LLM_PROTOCOL]
    try:
        return probe(name, url.rstrip("/"), model)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        fix = f"start that server, or correct LLM_{name.split()[0].upper()}_URL and LLM_PROTOCOL"
        text = f"{_without_secrets(url)} does not answer as {settings.LLM_PROTOCOL}: {error or type(error).__name__}"
        return failure(name, text, fix, optional=True)


def _packaged_model(name: str, model: str) -> Finding:
    from queueing.engines.llm import models
    from queueing.exceptions import Infrastructure

    if find_spec("xllamacpp") is None:
        return failure(name, "llama.cpp is not installed (package xllamacpp)", "make setup, or set LLM_PROTOCOL")
    try:
        path = models.find(model, settings.LLM_MODELS_DIR)
    except Infrastructure as error:
        fix = "make judge" if model in models.IN_PARTS else "make setup"
        return failure(name, str(error), f"{fix}, or name a GGUF file in LLM_EXTRACT_MODEL and LLM_RATE_MODEL")
    return ok(name, f"{model} in {path}")


def _probe_ollama(name: str, url: str, model: str) -> Finding:
    from queueing.engines.llm.ollama import OLDEST

    version = str(_answer(f"{url}/api/version")["version"])
    text = f"Ollama {version}, {_without_secrets(url)}"
    if checks.numbers(version) < OLDEST:
        return failure(name, f"{text}: known holes below 0.17.1", "install a newer Ollama", optional=True)
    present = {each["name"] for each in _answer(f"{url}/api/tags")["models"]}
    if model not in present and f"{model}:latest" not in present:
        return failure(name, f"{text}: {model} is not there", f"ollama pull {model}", optional=True)
    return ok(name, f"{text}, {model}")


def _probe_openai(name: str, url: str, model: str) -> Finding:
    root = url.removesuffix("/v1")
    present = {each["id"] for each in _answer(f"{root}/v1/models")["data"]}
    text = f"{_without_secrets(url)} serves {', '.join(sorted(present)) or 'nothing'}"
    if model not in present:
        return warning(name, f"{text}; {model} is not among them", "name one of them in LLM_*_MODEL")
    return ok(name, text)


def _answer(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(url, timeout=PROBE_SECONDS).raise_for_status().json()
    return answer


def gpu() -> Finding:
    """What the driver says of the device that a worker here looks after. Absent is no fault unless one is asked for."""
    from queueing.gpu import Absent, Device, GpuMemoryFacts, Unknown

    if not settings.GPU_WATCH:
        return warning("GPU", "not looked at: models may be loaded beside other programs", "unset GPU_WATCH")
    match Device().read():
        case Absent(reason):
            return _no_gpu(reason)
        case Unknown(reason):
            fix = "nvidia-smi tells more, a restart of the machine helps most; GPU_WATCH=False if it can never tell"
            return warning("GPU", f"its state is unknown: {reason}; what needs it rests until it is known", fix)
        case GpuMemoryFacts() as facts:
            holders = f"; on it: {', '.join(map(str, facts.holders))}" if facts.holders else ""
            return ok("GPU", f"{facts.name}: {_mib(facts.free)} of {_mib(facts.total)} free{holders}")


def labs_plan() -> MemoryPlan:
    """How the models would share the GPU's memory. What is in it now is left out: it may be the lab's own models."""
    from queueing import gpu
    from queueing.engines import build
    from queueing.policy import memory_plan

    here = gpu.card(gpu.Device().read() if settings.GPU_WATCH else gpu.NoGpu().read())
    card = memory_plan.Card(here.total) if here else None
    return memory_plan.plan_for(build.from_settings(settings), card, settings.LLM_TOGETHER)


def plan() -> Finding:
    """The plan, with what would improve it."""
    from queueing.policy import memory_plan

    found = labs_plan()
    if found.mode == memory_plan.Mode.REFUSED:
        return failure("plan", str(found), found.fix, optional=True)
    return warning("plan", str(found), found.fix) if found.fix else ok("plan", str(found))


def _no_gpu(reason: str) -> Finding:
    if settings.STT_DEVICE == "cuda":
        fix = "install NVIDIA's driver, or unset STT_DEVICE"
        return failure("GPU", f"absent ({reason}), but STT_DEVICE is cuda", fix)
    return ok("GPU", f"absent ({reason}); the processor does the work")


def assets() -> Finding:
    folder = Path(settings.BASE_DIR) / "node_modules" / ".introeval"
    if not folder.is_dir() or not any(folder.iterdir()):
        return failure("front-end assets", f"not installed ({folder} is missing)", "make setup")
    return ok("front-end assets", str(folder))


MACHINE: tuple[Check, ...] = (software, decoder, data_dir, disk_space)
SERVERS: tuple[Check, ...] = (database, sessions, migrations, stored_videos, broker, class_languages, model_servers)
OF_DATABASE: dict[Check, str] = {
    sessions: "database sessions",
    migrations: "migrations",
    stored_videos: "stored videos",
    class_languages: "languages of classes",
    model_servers: "model servers",
}
ENGINES: tuple[Check, ...] = (speech_model, extract_model, rate_model, judge, restarts, gpu, plan, assets, mail)


def run_checks(*, without: Collection[Check] = ()) -> Iterator[Finding]:
    """Each check's finding as soon as it is known; the embedded services run while the servers are asked.

    These come first: for a database that says nothing somebody waits already, for as long as the others take.
    """
    servers, machine, engines = (
        [check for check in group if check not in without] for group in (SERVERS, MACHINE, ENGINES)
    )
    yield from _served(servers)
    yield from map(_finding, [*machine, *engines])


def _served(group: Iterable[Check]) -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        with embedded.services(settings.DATA_DIR):
            for check in group:
                found.append(_unasked(check, found) or _finding(check))
                yield found[-1]
    except embedded.EmbeddedError as error:
        yield failure("database and broker", str(error.args[0]), error.fix)


def _unasked(check: Check, found: Iterable[Finding]) -> Finding | None:
    """What a database that does not answer need not be asked: each would wait for it as long."""
    away = any(each.name == "database" and each.level is Level.FAILURE for each in found)
    return (
        warning(OF_DATABASE[check], "unknown: the database does not answer") if away and check in OF_DATABASE else None
    )


def _finding(check: Check) -> Finding:
    try:
        return check()
    except Exception as error:  # a report with a hole beats a traceback
        return failure(check.__name__.replace("_", " "), f"the check itself failed: {error!r}", "report this as a bug")


def _nearest(path: Path) -> Path:
    """The path, or the closest directory above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def _mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])
