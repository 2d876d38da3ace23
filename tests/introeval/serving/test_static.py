"""Scripts and styles under names that change with their content, as long as what was collected is what is there."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from pytest_django.fixtures import Settings
from whitenoise.middleware import WhiteNoiseMiddleware

from introeval.serving.static import STAMP, StaticFiles

HASHED = r"\.[0-9a-f]{12}\.(js|css|svg)$"


@pytest.fixture
def own(tmp_path: Path, settings: Settings) -> Path:
    """A folder of scripts, the only one that is collected; collected files lie beside it."""
    scripts = tmp_path / "scripts"
    (scripts / "evaluations" / "inner").mkdir(parents=True)
    (scripts / "evaluations" / "page.js").write_text('import { one } from "./inner/one.js";\none();\n' * 40)
    (scripts / "evaluations" / "inner" / "one.js").write_text("export const one = () => 1;\n")
    (scripts / "package.js").write_text('import { gone } from "./gone.js";\n')
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_DIRS = [scripts]
    collected = tmp_path / "collected"
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "introeval.serving.static.StaticFiles", "OPTIONS": {"location": str(collected)}}
    }
    settings.STATIC_ROOT = str(collected)
    finders.get_finder.cache_clear()  # type: ignore[attr-defined]
    return scripts


def collect() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)


def storage(own: Path) -> StaticFiles:
    return StaticFiles(location=str(own.parent / "collected"), base_url="/static/")


def test_before_anything_is_collected_addresses_are_plain(own: Path) -> None:
    assert storage(own).url("evaluations/page.js") == "/static/evaluations/page.js"


def test_what_was_collected_is_named_by_its_content_down_to_what_scripts_import(own: Path) -> None:
    collect()
    address = storage(own).url("evaluations/page.js")
    assert re.search(HASHED, address)
    served = own.parent / "collected" / address.removeprefix("/static/")
    (imported,) = {*re.findall(r'from "\./(inner/one\..+?)"', served.read_text())}
    assert re.search(HASHED, imported)
    assert (served.parent / imported).is_file()
    assert gzip.decompress(Path(f"{served}.gz").read_bytes()) == served.read_bytes()


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_an_update_that_was_not_collected_is_served_as_it_is(change: str, own: Path) -> None:
    collect()
    one = own / "evaluations" / "inner" / "one.js"
    if change == "changed":
        os.utime(one, ns=(1, 1))
    elif change == "added":
        (own / "evaluations" / "two.js").touch()
    else:
        one.unlink()
    assert not storage(own).is_current()
    assert storage(own).url("evaluations/page.js") == "/static/evaluations/page.js"


@pytest.mark.parametrize("torn", ["", "{", '{"version": "9"}'])
def test_a_collection_that_was_cut_off_does_not_count_and_is_made_again(torn: str, own: Path) -> None:
    collect()
    (own.parent / "collected" / STAMP).unlink()
    (own.parent / "collected" / "staticfiles.json").write_text(torn)
    assert storage(own).url("evaluations/page.js") == "/static/evaluations/page.js"
    collect()
    assert re.search(HASHED, storage(own).url("evaluations/page.js"))


def test_a_dry_run_collects_nothing(own: Path) -> None:
    call_command("collectstatic", interactive=False, verbosity=0, dry_run=True)
    assert not storage(own).is_current()


def test_a_named_file_is_compressed_and_kept_for_ever_a_plain_one_for_a_minute(own: Path) -> None:
    collect()
    site = WhiteNoiseMiddleware(lambda request: None)
    kept = {}
    for address in (storage(own).url("evaluations/page.js"), "/static/evaluations/page.js"):
        file = site.files[address]
        answer = file.get_response("GET", {"HTTP_ACCEPT_ENCODING": "gzip"})
        headers = dict(answer.headers)
        kept[address] = (headers.get("Content-Encoding"), "immutable" in headers["Cache-Control"])
        if answer.file:
            answer.file.close()
    assert [*kept.values()] == [("gzip", True), (None, False)]


@pytest.mark.django_db
def test_every_page_finds_its_scripts_among_the_collected_ones(
    tmp_path: Path, settings: Settings, client: Client
) -> None:
    """All of them are there under a name of their own, the packages' and ours."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "introeval.serving.static.StaticFiles", "OPTIONS": {"location": str(tmp_path)}}
    }
    collect()
    html = client.get("/login/").content.decode()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    assert addresses
    for address in addresses:
        assert re.search(HASHED, address)
        assert (tmp_path / address.removeprefix("/static/")).is_file()
    named = {
        name
        for template in Path("templates").rglob("*.html")
        for name in re.findall(r'{% static ["\']([^"\']+)["\'] %}', template.read_text())
    }
    assert len(named) > 10
    for name in named:
        assert re.search(HASHED, StaticFiles(location=str(tmp_path), base_url="/static/").url(name))
