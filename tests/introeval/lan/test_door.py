"""What plain HTTP shows of a lab that is open to its network, and what a wrong address says."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from introeval.lan import addresses, door
from tests.conftest import PASSWORD, Cast


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Settings:
    settings.LAB, settings.DATA_DIR, settings.HTTPS_PORT = True, tmp_path, 8443
    settings.ALLOWED_HOSTS = ["testserver", "192.168.1.7"]
    door.certificates().ensure(settings.ALLOWED_HOSTS)
    return settings


@pytest.mark.parametrize("path", ["/", "/login/", "/admin/", "/api/queue/stats", "/submissions/x/", "/trusted/"])
def test_by_http_every_page_leads_to_how_to_trust_the_lab(path: str, lab: Settings) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer["Location"], answer["Cache-Control"]) == (302, "/trust/", "no-store")


@pytest.mark.django_db
def test_by_http_nothing_can_be_sent_and_nobody_signed_in(lab: Settings, cast: Cast) -> None:
    browser = Client()
    answer = browser.post("/login/", {"username": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.cookies) == (403, {})
    assert "https://testserver:8443/ only" in answer.content.decode()


def test_by_https_it_is_the_site(lab: Settings, db: None) -> None:
    assert Client().get("/login/", secure=True).status_code == 200


@pytest.mark.parametrize(("port", "url"), [(8443, "https://192.168.1.7:8443/"), (443, "https://192.168.1.7/")])
def test_the_page_names_the_lab_as_the_device_reached_it(port: int, url: str, lab: Settings) -> None:
    lab.HTTPS_PORT = port
    html = Client().get("/trust/", headers={"host": "192.168.1.7:8000"}).content.decode()
    assert f'data-lab="{url}"' in html
    assert door.certificates().fingerprint() in html
    assert "<svg" in html
    assert "style=" not in html  # forbidden by the content security policy


def test_the_page_may_look_whether_the_device_trusts_the_lab(lab: Settings) -> None:
    assert "connect-src https:" in Client().get("/trust/")["Content-Security-Policy"]
    assert "connect-src" not in Client().get("/login/", secure=True)["Content-Security-Policy"]


def test_the_certificate_comes_as_what_devices_offer_to_install(lab: Settings) -> None:
    answer = Client().get("/trust/introeval-lab.crt")
    assert answer["Content-Type"] == "application/x-x509-ca-cert"
    assert b"".join(answer) == door.certificates().authority.read_bytes()


@pytest.mark.parametrize("path", ["/trust/", "/trust/introeval-lab.crt"])
def test_a_site_that_is_no_lab_has_neither(path: str) -> None:
    assert Client().get(path).status_code == 404


def test_a_wrong_address_is_answered_in_words_with_the_right_ones(
    lab: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "hosts", lambda: ["localhost", "lab", "192.168.1.7"])
    answer = Client().get("/", headers={"host": "10.9.9.9:8000"})
    html = answer.content.decode()
    assert answer.status_code == 400
    assert 'href="https://lab:8443/"' in html
    assert 'href="https://192.168.1.7:8443/"' in html
    assert "localhost" not in html
    assert "10.9.9.9" not in html


def test_a_wrong_address_of_an_ordinary_site_too(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "lab.example", ".school.example", "*.x"]
    html = Client().get("/", headers={"host": "10.9.9.9:8000"}).content.decode()
    assert 'href="http://lab.example:8000/"' in html
    assert 'href="http://school.example:8000/"' in html
    assert "*" not in html


@pytest.mark.parametrize("host", ["<script>", "a b", "x" * 3000, "10.9.9.9:8000:1", "[::1", ""])
def test_no_host_makes_more_than_a_refusal_of_it(host: str, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["lab.example"]
    answer = Client().get("/", headers={"host": host})
    assert answer.status_code == 400
    assert b"<script>" not in answer.content.replace(b'<script type="module"', b"")
