"""The settings' table in the docs, and loud refusal of what can't be read."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from introeval import settings as module
from queueing.engines.llm import models

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "introeval" / "settings.py"
READERS = (
    r"(?:text|folder|pair|addresses|services|flag|positive|count|one_of|hosts|origins|address|broker|time_zone|restart_action|_chosen)"
    r"\(\s*\"([A-Z_]+)\""
)


def test_the_docs_list_every_variable_and_no_other() -> None:
    sources = [ROOT / "introeval" / name for name in ("settings.py", "logs.py")]
    read = {name for source in sources for name in re.findall(READERS, source.read_text())}
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert told == read


NONSENSE: Final = {
    "positive": ["5m", "0x20", "abc", "0,9", "1,000", "nan", "inf", "-1", "0", "1e30", "5 s"],
    "count": ["ten", "2.5", "-1", "0x20", "1,000", "1e30", "5 pieces"],
    "flag": ["ture", "2", "flase", "yes please"],
    "one_of": ["siri", "faster whisper"],
    "restart_action": ["docker restart ollama; id", "reboot", "docker stop ollama"],
    "hosts": ["http://lab.local", "lab.local:8000", "lab local", "::1"],
    "origins": ["lab.local", "https://lab.local/", "https://", "ftp://lab.local"],
    "address": ["127.0.0.1:11434", "http://", "http://host:port", "ftp://host", "http://a host/"],
    "broker": [
        "localhost",
        "redis://",
        "redis://host:port",
        "redis://host/first",
        "unix://",
        "redis://h?socket_timeout=x",
    ],
    "pair": ["20", "20;50", "20,x", "1,2,3", "-1,2", "nan,2"],
    "addresses": ["operator", "a b@school.example", "a@", "@school.example"],
    "folder": ["n" * 256, "/var/" + "n/" * 2100],
    "time_zone": ["Berlin", "CET+1", "../etc/passwd", "Europe"],
}
READ: Final = {
    name: reader for reader, name in re.findall(rf"({'|'.join(NONSENSE)})\(\s*\"([A-Z_]+)\"", SETTINGS.read_text())
}


@pytest.mark.parametrize(
    ("reader", "value"), [(reader, value) for reader, values in NONSENSE.items() for value in values]
)
def test_no_reader_makes_sense_of_nonsense(reader: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = next(variable for variable, its_reader in READ.items() if its_reader == reader)
    assert_refused(variable, value, monkeypatch)


@pytest.mark.parametrize(("variable", "reader"), READ.items())
def test_nonsense_stops_the_start_with_the_variable_and_its_text(
    variable: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_refused(variable, NONSENSE[reader][0], monkeypatch)


def assert_refused(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ImproperlyConfigured, match=rf"^{variable} must be .*{re.escape(repr(value.strip()))}$"):
        runpy.run_path(str(SETTINGS))


@pytest.mark.parametrize("value", ["ntfy://topic,t0ken", "ntfy", "ntfy://topic /t0ken", "NTFY//t0ken", "ntfy:///t0ken"])
def test_what_is_no_address_of_a_service_is_refused_and_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_URLS", f"ntfy://one {value}")
    if value == "ntfy://topic,t0ken":  # commas are part of some
        assert runpy.run_path(str(SETTINGS))["NOTIFY_URLS"] == ["ntfy://one", value]
        return
    with pytest.raises(ImproperlyConfigured, match=r"^NOTIFY_URLS must be .*: no\. [23] is none$"):
        runpy.run_path(str(SETTINGS))


def test_only_names_paths_and_secrets_are_taken_as_they_are() -> None:
    free = set(re.findall(r"text\(\s*\"([A-Z_]+)\"", SETTINGS.read_text())) - READ.keys()
    models = {"STT_MODEL", "LLM_EXTRACT_MODEL", "LLM_RATE_MODEL"}
    mail = {"EMAIL_HOST", "EMAIL_USER", "EMAIL_PASSWORD"}
    named = {"SECRET_KEY", "LLM_API_KEY", "METRICS_TOKEN", "NODE", "SCHOOL", "DATABASE_URL"}
    assert free == models | mail | named


@pytest.mark.parametrize("variable", sorted(READ.keys() | {"DATABASE_URL", "NODE"}))
def test_an_empty_variable_is_as_good_as_none(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    unset = runpy.run_path(str(SETTINGS))
    monkeypatch.setenv(variable, "")
    empty = runpy.run_path(str(SETTINGS))
    assert {name: empty[name] for name in empty if name.isupper()} == {
        name: unset[name] for name in unset if name.isupper()
    }


@pytest.mark.parametrize(
    ("variable", "value", "setting", "means"),
    [
        ("LEASE_SECONDS", "1e2", "LEASE_SECONDS", 100),
        ("BATCH_SIZE", " 7 ", "BATCH_SIZE", 7),
        ("HTTPS", "On", "SESSION_COOKIE_SECURE", True),
        ("GPU_WATCH", "no", "GPU_WATCH", False),
        (
            "ALLOWED_HOSTS",
            "lab.local, .school.example,[::1]",
            "ALLOWED_HOSTS",
            ["lab.local", ".school.example", "[::1]"],
        ),
        ("LLM_API_KEY", "$tr0ng", "LLM_API_KEY", "$tr0ng"),
    ],
)
def test_a_value_means_what_it_says(
    variable: str, value: str, setting: str, means: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert runpy.run_path(str(SETTINGS))[setting] == means


def test_a_name_of_a_node_that_its_row_can_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE", "n" * 101)
    with pytest.raises(ImproperlyConfigured, match=r"^NODE must be at most 100 characters"):
        runpy.run_path(str(SETTINGS))


@pytest.mark.parametrize(
    ("variables", "model", "can_judge"),
    [
        ({}, "smollm2", False),
        ({"judge": "here"}, "qwen2.5-coder-1.5b", True),
        ({"judge": "here", "LLM_RATE_MODEL": "smollm2"}, "smollm2", False),
        ({"LLM_CAN_JUDGE": "true"}, "smollm2", True),
        ({"LLM_RATE_MODEL": "/srv/own.gguf"}, "/srv/own.gguf", True),
        ({"LLM_PROTOCOL": "ollama", "judge": "here"}, "llama3:8b-instruct", True),
        ({"LLM_PROTOCOL": "ollama", "LLM_CAN_JUDGE": "false"}, "llama3:8b-instruct", False),
        ({"LLM_PROTOCOL": "simulated"}, "llama3:8b-instruct", True),
    ],
)
def test_the_model_that_judges_is_the_best_that_is_here(
    variables: dict[str, str], model: str, can_judge: bool, tmp_path: Path
) -> None:
    variables = {**variables, "LLM_MODELS_DIR": str(tmp_path)}
    if variables.pop("judge", ""):
        (tmp_path / models.IN_PARTS[models.JUDGE].file).touch()
    code = "from introeval.settings import *; print(LLM_RATE_MODEL, LLM_CAN_JUDGE)"
    env = {**os.environ, **variables}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [model, str(can_judge)]


@pytest.mark.parametrize("chosen", ["", "elsewhere"])
def test_collectstatic_has_a_folder_in_the_data_directory_unless_another_is_named(chosen: str, tmp_path: Path) -> None:
    env = {**os.environ, "DATA_DIR": str(tmp_path), "STATIC_ROOT": str(tmp_path / chosen) if chosen else ""}
    command = [sys.executable, "manage.py", "collectstatic", "--dry-run", "--noinput"]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"\d+ static files? copied to '(.+)'", run.stdout)[1] == str(  # type: ignore[index]
        tmp_path / (chosen or "static")
    )


@pytest.mark.parametrize(("disk_gb", "reserve_gb"), [(20, 2), (50, 5), (2000, 5)])
def test_a_tenth_of_the_disk_is_kept_free_but_no_more_than_5_gb(
    disk_gb: int, reserve_gb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(place: Path) -> Any:
        if place != tmp_path:
            raise FileNotFoundError(place)
        return Mock(total=disk_gb * 1024**3)

    monkeypatch.setattr(module, "DATA_DIR", tmp_path / "not made" / "yet")
    monkeypatch.setattr("shutil.disk_usage", usage)
    assert module.disk_reserve_mb() == pytest.approx(reserve_gb * 1024)


def test_of_a_file_system_without_room_of_its_own_nothing_is_kept_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of /proc the total is 0: whoever names it learns that no directory can be made there, nothing of a reserve."""
    monkeypatch.delenv("DISK_RESERVE_MB", raising=False)
    monkeypatch.setenv("DATA_DIR", "/proc/not-made")
    assert runpy.run_path(str(SETTINGS))["DISK_RESERVE_BYTES"] > 0


@pytest.mark.parametrize("variable", ["DATA_DIR", "LLM_MODELS_DIR", "STATIC_ROOT"])
def test_a_link_to_itself_is_refused(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert_refused(variable, str(tmp_path / "loop"), monkeypatch)
    assert_refused(variable, str(tmp_path / "loop" / "below"), monkeypatch)


def key_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("DATA_DIR", str(folder))
    return str(runpy.run_path(str(SETTINGS))["SECRET_KEY"])


def test_the_secret_key_is_made_once_and_kept_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(tmp_path, monkeypatch)
    assert len(key) >= 48
    assert key_of(tmp_path, monkeypatch) == key
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", ["folder", "loop", "bytes", "empty", "short"])
def test_a_secret_key_that_can_not_be_read_is_an_error_in_words_and_never_replaced(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret_key"
    if kept == "folder":
        path.mkdir()
    elif kept == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes({"bytes": b"\xff" * 64, "empty": b"", "short": b"x" * 31}[kept])
    with pytest.raises(ImproperlyConfigured, match=r"the secret key in .*secret_key .*remove the file"):
        key_of(tmp_path, monkeypatch)
    assert path.is_dir() or path.is_symlink() or len(path.read_bytes()) in (0, 31, 64)


def test_without_a_place_for_it_no_key_can_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands must still start, to say what is wrong with the place."""
    (tmp_path / "file").touch()
    assert key_of(tmp_path / "file" / "data", monkeypatch) != key_of(tmp_path / "file" / "data", monkeypatch)
