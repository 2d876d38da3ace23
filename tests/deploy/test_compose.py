"""The compose files, merged as `docker compose config` does: of the specification's shape, and true of the project.

There is no Docker here: what is merged and checked was never started by it (deploy/README.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import reduce
from importlib.metadata import distribution
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from django.conf import settings

from introeval.checks import numbers
from queueing.engines.llm.ollama import OLDEST
from tests.deploy.test_deploy import DEPLOY, known

LABS: Final = {
    "two": ("compose.yml",),
    "shared": ("compose.yml", "compose.shared.yml"),
    "gpu": ("compose.yml", "compose.gpu.yml"),
    "mail": ("compose.yml", "compose.mail.yml"),
    "shared with a GPU": ("compose.yml", "compose.shared.yml", "compose.gpu.yml"),
}
each_lab = pytest.mark.parametrize("lab", LABS)
SECRETS: Final = {"POSTGRES_PASSWORD": "letters"}
VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<other>[^}]*))?\}")
REPLACED: Final = {"command", "entrypoint", "test"}  # lists that the later file replaces; others are joined
SERVERS: Final = {"nginx", "web", "worker", "migrate", "postgres", "valkey", "ollama-extract", "ollama-rate"}


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return document


def merged(lab: str) -> dict[str, Any]:
    """As one file, with the variables of an .env that has nothing but what must be set."""
    document = reduce(_merge, map(read, LABS[lab]))
    found: dict[str, Any] = _filled({key: value for key, value in document.items() if not key.startswith("x-")})
    return found


def _merge(base: Any, over: Any, key: str = "") -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{each: _merge(base[each], over[each], each) if each in base else over[each] for each in over}}
    if isinstance(base, list) and isinstance(over, list) and key not in REPLACED:
        return [*base, *(one for one in over if one not in base)]
    return over


def _filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return VARIABLE.sub(_value_of, value) if isinstance(value, str) else value


def _value_of(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None:
        return "$"
    assert found["how"] != "?" or name in SECRETS, f"{name} has no default"
    return SECRETS.get(name, found["other"] or "")


def started(lab: str) -> dict[str, Any]:
    """The services that `up` starts: those of no profile."""
    return {name: service for name, service in merged(lab)["services"].items() if not service.get("profiles")}


def images_file() -> str:
    return (DEPLOY / "Dockerfile").read_text()


@each_lab
def test_it_has_the_shape_of_the_compose_specification(lab: str) -> None:
    (schema,) = (file for file in distribution("check-jsonschema").files or () if file.name == "compose-spec.json")
    check = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    for document in (*map(read, LABS[lab]), merged(lab)):
        assert [error.message for error in check.iter_errors(document)] == []
    assert list(check.iter_errors({"services": {"web": {"imagge": "introeval"}}})), "a slip is noticed"


@each_lab
def test_variables_are_settings_of_ours_or_of_the_image(lab: str) -> None:
    used = {name for service in merged(lab)["services"].values() for name in service.get("environment", {})}
    asked = {found["name"] for file in LABS[lab] for found in VARIABLE.finditer((DEPLOY / file).read_text())} - {None}
    assert used | asked <= known()


def test_the_lab_has_two_ollamas_where_the_settings_look_for_them() -> None:
    assert started("two").keys() == SERVERS
    assert models_of("two") == {"LLM_EXTRACT_URL": "ollama-extract", "LLM_RATE_URL": "ollama-rate"}


def test_or_one_for_both_models() -> None:
    assert started("shared").keys() == SERVERS - {"ollama-rate"}
    assert models_of("shared") == dict.fromkeys(("LLM_EXTRACT_URL", "LLM_RATE_URL"), "ollama-extract")


def models_of(lab: str) -> dict[str, str]:
    """The service behind each model's address, if it listens there."""
    services = started(lab)
    found: dict[str, str] = {}
    for name in ("web", "worker", "migrate"):
        for variable in ("LLM_EXTRACT_URL", "LLM_RATE_URL"):
            url = urlsplit(services[name]["environment"][variable])
            host = str(url.hostname)
            assert services[host]["environment"]["OLLAMA_HOST"] == f"0.0.0.0:{url.port}"
            assert found.setdefault(variable, host) == host
    return found


@each_lab
def test_only_nginx_is_published_and_only_the_worker_shares_a_network_with_ollama(lab: str) -> None:
    document, services = merged(lab), merged(lab)["services"]
    ollamas = {name for name in services if name.startswith("ollama")}
    assert {name for name, service in services.items() if "ports" in service} == {"nginx"}
    assert {name for name, service in services.items() if "models" in service["networks"]} == {"worker", *ollamas}
    assert all(services[name]["networks"] == ["models"] for name in ollamas)
    assert all(service["networks"] for service in services.values()), "the default network leads outside"
    assert document["networks"].keys() == {network for service in services.values() for network in service["networks"]}
    assert document["networks"]["models"]["internal"]
    assert document["networks"]["back"]["internal"]


@each_lab
def test_the_worker_has_a_way_out_only_where_alerts_are_to_leave(lab: str) -> None:
    document = merged(lab)
    outside = {name for name, network in document["networks"].items() if not (network or {}).get("internal")}
    reach = {name for name, service in document["services"].items() if outside & set(service["networks"])}
    assert reach == {"nginx", "web", "pull-models"} | ({"worker"} if lab == "mail" else set())
    assert [name for name, service in document["services"].items() if "out" in service["networks"]] == (
        ["worker"] if lab == "mail" else []
    ), "nobody else is there"


@each_lab
def test_images_have_versions_and_ollama_is_not_older_than_doctor_accepts(lab: str) -> None:
    for service in merged(lab)["services"].values():
        image, _, tag = service["image"].partition(":")
        assert tag or image == "introeval"
        if image == "ollama/ollama":
            assert numbers(tag) >= OLDEST


@each_lab
def test_what_runs_is_restarted_and_what_others_wait_for_is_looked_after(lab: str) -> None:
    services = started(lab)
    assert {name for name, service in services.items() if service["restart"] != "unless-stopped"} == {"migrate"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate", "worker"}
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            wanted = condition["condition"]
            assert wanted == "service_completed_successfully" if name == "migrate" else "healthcheck" in services[name]


@each_lab
def test_what_is_mounted_is_there_and_where_the_image_expects_it(lab: str) -> None:
    document = merged(lab)
    for name, service in document["services"].items():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            if source.startswith("./") and source != "./introeval.d":  # this one is for the school's certificates
                assert (DEPLOY / source).is_file(), volume
            elif not source.startswith((".", "/")):
                assert source in document["volumes"]
            if name == "web":
                assert f"VOLUME {target}" in images_file()
                assert service["environment"]["DATA_DIR"] == target
    assert "include introeval.d/*.conf;" in (DEPLOY / "nginx.conf").read_text()


@each_lab
def test_ports_are_those_that_the_programs_listen_on(lab: str) -> None:
    services = started(lab)
    found = re.search(r'"-p", "(\d+)"', images_file())
    assert found
    assert f"server web:{found[1]};" in (DEPLOY / "nginx-upstream-compose.conf").read_text()
    assert f"http://localhost:{found[1]}/readyz" in services["web"]["healthcheck"]["test"][-1]
    assert {port.split(":")[1] for port in services["nginx"]["ports"]} == {"80", "443"}
    assert urlsplit(services["web"]["environment"]["DATABASE_URL"]).hostname in services
    assert urlsplit(services["web"]["environment"]["REDIS_URL"]).hostname in services


@pytest.mark.parametrize("lab", ["gpu", "shared with a GPU"])
def test_worker_and_ollamas_share_one_gpu(lab: str) -> None:
    services = started(lab)
    reserved = {
        name: service["deploy"]["resources"]["reservations"]["devices"]
        for name, service in services.items()
        if "deploy" in service
    }
    assert reserved.keys() == {name for name in services if name.startswith("ollama")} | {"worker"}
    assert len({json.dumps(devices) for devices in reserved.values()}) == 1
    assert services["worker"]["build"]["args"] == {"CUDA": "1"}
    assert "ARG CUDA" in images_file()


def test_a_stopping_worker_is_given_the_time_it_takes() -> None:
    given = started("two")["worker"]["stop_grace_period"]
    assert int(given.removesuffix("s")) > 2 * settings.STOP_GRACE_SECONDS
