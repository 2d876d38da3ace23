"""What the files for a lab say, compared with what the project is. Whether they work is told in deploy/README.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.conf import settings

from introeval.management.commands.up import ServedSite, children

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))

# Read by others: the containers of PostgreSQL and NVIDIA, Ollama and the script that pulls.
NOT_OURS = {"POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB", "NVIDIA_DRIVER_CAPABILITIES"}
NOT_OURS |= {"OLLAMA_NUM_PARALLEL", "OLLAMA_HOST", "OLLAMA_NOPRUNE", "MODELS"}


def known() -> set[str]:
    table = (ROOT / "docs" / "settings.md").read_text()
    return set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) | NOT_OURS


def directive(unit: Path, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    assert len(found) == 1, f"{name} in {unit.name}"
    return str(found[0])


def example() -> dict[str, str]:
    lines = [line for line in (DEPLOY / "env.example").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_example_names_settings_that_exist_in_a_form_systemd_and_compose_both_read() -> None:
    given = example()
    assert given.keys() <= known()
    assert not re.search(r"[\s\"'$\\#]", "".join(given.values()))


def test_the_site_has_the_limits_that_up_gives_it_and_believes_the_proxy() -> None:
    (site,) = (child for child in children(ServedSite("127.0.0.1", 8000)) if child.name == "site")
    started = directive(DEPLOY / "systemd" / "introeval-web.service", "ExecStart").split()
    assert sorted(started[1:]) == sorted([*site.command[1:], "--proxy-headers"])
    found = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    assert json.loads(found[1])[1:] == ["0.0.0.0" if each == "127.0.0.1" else each for each in started[1:]]  # noqa: S104


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_restarts_and_lets_the_decoder_give_up_its_network(unit: Path) -> None:
    assert directive(unit, "Restart") == "always"
    assert directive(unit, "KillSignal") == "SIGTERM"
    assert set(directive(unit, "RestrictNamespaces").split()) == {"user", "net"}


def test_a_stopping_worker_is_given_the_time_it_takes_and_keeps_its_models_meanwhile() -> None:
    unit = DEPLOY / "systemd" / "introeval-worker.service"
    assert int(directive(unit, "TimeoutStopSec")) > 2 * settings.STOP_GRACE_SECONDS
    assert directive(unit, "KillMode") == "mixed"


def test_nginx_lets_a_chunk_through_and_little_more() -> None:
    found = re.search(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())
    assert found
    assert settings.UPLOAD_CHUNK_BYTES < int(found[1]) * 1024 * 1024 <= settings.UPLOAD_CHUNK_BYTES * 1.5


def test_nginx_closes_what_dribbles() -> None:
    """S16: daphne would keep it open."""
    for name in ("client_header_timeout", "client_body_timeout"):
        found = re.search(rf"{name} (\d+)s;", (DEPLOY / "nginx.conf").read_text())
        assert found
        assert int(found[1]) <= 10


def test_the_image_copies_every_package_of_the_project() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources >= {"introeval", "queueing", "evaluations", "templates", "manage.py"}
    assert all((ROOT / source).exists() for source in sources)
    let_in = set(re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert let_in == sources
