"""What a lab must not have, and what it must: Django's own checks, HSTS, and who can read its secrets."""

from __future__ import annotations

import os
import re
import runpy
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DAYS = 86_400
OURS = ("SECRET_KEY", "LAB", "HTTPS", "DEBUG", "DJANGO_ALLOW_ASYNC_UNSAFE")  # of the tests, or of a developer


def settings_of(monkeypatch: pytest.MonkeyPatch, folder: Path, **env: str) -> dict[str, Any]:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"DATA_DIR": str(folder), **env}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "introeval" / "settings.py"))


@pytest.mark.external
@pytest.mark.parametrize("mode", ["LAB", "HTTPS"])
def test_djangos_own_checks_find_nothing(mode: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    env |= {mode: "True", "DATA_DIR": str(tmp_path)}
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "no issues" in found.stdout


@pytest.mark.parametrize(
    ("env", "seconds"), [({"LAB": "1"}, 0), ({"LAB": "1", "HTTPS": "1"}, 0), ({"HTTPS": "1"}, 30 * DAYS), ({}, 0)]
)
def test_browsers_are_bound_to_https_only_by_a_certificate_that_all_trust(
    env: dict[str, str], seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings_of(monkeypatch, tmp_path, **env)
    assert found["SECURE_HSTS_SECONDS"] == seconds
    assert found["SESSION_COOKIE_SECURE"] == found["CSRF_COOKIE_SECURE"] == bool(env)
    assert found["SESSION_COOKIE_NAME"] == ("__Host-sessionid" if env else "sessionid")
    assert not found["DEBUG"]


def test_the_secret_key_is_its_owners_alone_and_each_labs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {settings_of(monkeypatch, tmp_path / name)["SECRET_KEY"] for name in ("one", "another")}
    assert len(keys) == 2
    assert {stat.S_IMODE((tmp_path / name / "secret_key").stat().st_mode) for name in ("one", "another")} == {0o600}


def test_no_secret_is_in_the_source() -> None:
    """Of what looks like one: a long value beside a name for it, or a private key."""
    value = r"(?i)(secret|password|token|api_key)\w*\s*=\s*[\"'][A-Za-z0-9+/_-]{24,}[\"']"
    said = re.compile(rf"{value}|BEGIN [A-Z ]*PRIVATE KEY")
    code = [path for top in ("introeval", "evaluations", "queueing", "deploy") for path in (ROOT / top).rglob("*.*")]
    texts = {path: path.read_text() for path in code if path.suffix in (".py", ".yml", ".conf", ".example", ".service")}
    assert len(texts) > 200
    assert not [path for path, text in texts.items() if said.search(text)]
    assert said.search('SECRET_KEY = "0123456789abcdef0123456789"')
