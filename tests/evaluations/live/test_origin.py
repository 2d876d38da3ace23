from __future__ import annotations

import pytest
from pytest_django import Settings

from introeval.routing import is_same_origin


@pytest.fixture(autouse=True)
def site(settings: Settings) -> Settings:
    settings.ALLOWED_HOSTS = ["lab.example", "127.0.0.1", "[::1]"]
    settings.HTTPS = False
    return settings


@pytest.mark.parametrize("host", ["lab.example", "lab.example:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_the_sites_own_pages_may_connect(host: str) -> None:
    assert is_same_origin({"origin": f"http://{host}", "host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "http://lab.example.evil.example",
        "http://evil-lab.example",
        "http://sub.lab.example",
        "http://lab.example:8001",
        "https://lab.example",
        "ftp://lab.example",
        "file://",
        "http://lab.example@evil.example",
        "http://lab.example/",
        "//lab.example",
        "lab.example",
        "HTTP://LAB.EXAMPLE.",
        "http://lab.example http://evil.example",
        "ws://lab.example",
        "http://127.0.0.1",
        "*",
        None,
    ],
)
def test_no_other_page_may(origin: str | None) -> None:
    """S36: twenty of them."""
    said = {} if origin is None else {"origin": origin}
    assert not is_same_origin({"host": "lab.example", **said})
    assert not is_same_origin(said)


def test_a_host_that_is_not_ours_makes_no_page_ours() -> None:
    assert not is_same_origin({"origin": "http://evil.example", "host": "evil.example"})


@pytest.mark.parametrize("host", ["", "[", "a]b[", "[::1", "lab.example:80:80"])
def test_a_host_that_is_none_is_refused_without_an_error(host: str) -> None:
    assert not is_same_origin({"origin": f"http://{host}", "host": host})


def test_behind_https_only_https_pages_may(site: Settings) -> None:
    site.HTTPS = True
    assert is_same_origin({"origin": "https://lab.example", "host": "lab.example"})
    assert not is_same_origin({"origin": "http://lab.example", "host": "lab.example"})


def test_a_page_that_is_trusted_by_name_may(site: Settings) -> None:
    site.CSRF_TRUSTED_ORIGINS = ["https://other.example"]
    assert is_same_origin({"origin": "https://other.example", "host": "lab.example"})
