"""S23: Media over HTTP: ranges by the book, small pieces, and nothing that a browser could run."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory, RequestFactory
from hypothesis import example, given
from hypothesis import strategies as st

from evaluations.media import serve
from tests.evaluations.media import corpus
from tests.evaluations.media.conftest import Clips
from tests.evaluations.media.reading import read_facts

# Closing a response closes old database connections, and an earlier test may have left one.
pytestmark = pytest.mark.django_db

MIB = 1024 * 1024


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "original"
    path.write_bytes(os.urandom(3 * MIB + 17))
    return path


def fetch(path: Path, method: str = "GET", **headers: str) -> HttpResponseBase:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return serve.stream(RequestFactory(headers=named).generic(method, "/"), path, "video/webm")


def body(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return response.getvalue()
    assert isinstance(response, HttpResponse)
    return response.content


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, 100 + MIB - 1),
        ("bytes=0-", 0, MIB - 1),
        (f"bytes=0-{'9' * 6000}", 0, MIB - 1),
        (f"bytes={3 * MIB}-", 3 * MIB, 3 * MIB + 16),
        ("bytes=-17", 3 * MIB, 3 * MIB + 16),
        (f"bytes=-{'9' * 30}", 0, MIB - 1),
        ("BYTES=5-6", 5, 6),
    ],
)
def test_a_range_is_answered_with_its_first_mebibyte(header: str, first: int, last: int, film: Path) -> None:
    """S24: what the ASGI server buffers for a slow reader is a mebibyte at most."""
    response = fetch(film, Range=header)
    content = film.read_bytes()
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
    assert response["Content-Length"] == str(last - first + 1)
    assert body(response) == content[first : last + 1]


def test_a_player_that_goes_on_asking_gets_the_whole_file(film: Path) -> None:
    received = b""
    while len(received) < film.stat().st_size:
        received += body(fetch(film, Range=f"bytes={len(received)}-"))
    assert received == film.read_bytes()


@pytest.mark.parametrize("header", [f"bytes={3 * MIB + 17}-", "bytes=99999999-", f"bytes={'9' * 500}-", "bytes=-0"])
def test_a_range_behind_the_end_is_not_satisfiable(header: str, film: Path) -> None:
    response = fetch(film, Range=header)
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{3 * MIB + 17}"
    assert body(response) == b""


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes", "bytes=", "bytes=-", "0-5", "items=0-5"),
        *("bytes=5-4", "bytes=a-b", "bytes=--5", "bytes=1-2-3", "bytes=٣-", "bytes=0x0-5", "bytes=+1-5", "bytes=1_0-"),
        *("bytes=0-,0-", "bytes=" + ",".join(["0-0"] * 500)),
    ],
)
def test_what_is_no_single_range_is_ignored(header: str, film: Path) -> None:
    response = fetch(film, Range=header)
    assert response.status_code == 200
    assert response["Content-Length"] == str(film.stat().st_size)
    assert body(response) == film.read_bytes()


def test_without_a_range_the_file_is_streamed_in_chunks(film: Path) -> None:
    response = fetch(film)
    assert isinstance(response, StreamingHttpResponse)
    chunks = list(response)
    assert b"".join(chunks) == film.read_bytes()
    assert max(map(len, chunks)) <= MIB


async def test_under_asgi_the_stream_is_asynchronous(film: Path) -> None:
    response = serve.stream(AsyncRequestFactory().get("/"), film, "video/webm")
    assert isinstance(response, StreamingHttpResponse)
    assert response.is_async
    chunks = [chunk async for chunk in response]
    assert b"".join(chunks) == film.read_bytes()
    assert max(map(len, chunks)) <= MIB


async def test_a_stream_that_nobody_finishes_leaves_no_file_open(film: Path) -> None:
    request = AsyncRequestFactory().get("/")
    never_read = serve.stream(request, film, "video/webm")
    left = serve.stream(request, film, "video/webm")
    assert isinstance(left, StreamingHttpResponse)
    chunks = left.streaming_content
    assert await anext(chunks)  # type: ignore[arg-type]
    await chunks.aclose()  # type: ignore[union-attr]
    never_read.close()
    left.close()
    assert str(film) not in [each.path for each in psutil.Process().open_files()]


def test_head_tells_the_same_and_sends_nothing(film: Path) -> None:
    head, get = fetch(film, "HEAD"), fetch(film)
    assert body(head) == b""
    assert dict(head.items()) == dict(get.items())
    get.close()
    assert fetch(film, "HEAD", Range="bytes=0-5").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(method: str, film: Path) -> None:
    response = fetch(film, method)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


def test_if_range_counts_only_for_the_same_file(film: Path) -> None:
    etag = fetch(film, "HEAD")["ETag"]
    assert fetch(film, Range="bytes=0-5", If_Range=etag).status_code == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT", ""):
        response = fetch(film, Range="bytes=0-5", If_Range=other)
        assert response.status_code == 200
        response.close()
    film.write_bytes(b"something else")
    assert fetch(film, "HEAD")["ETag"] != etag


def test_a_known_file_is_not_sent_again(film: Path) -> None:
    etag = fetch(film, "HEAD")["ETag"]
    for known in (etag, f"W/{etag}", f'"a", {etag}', "*"):
        response = fetch(film, If_None_Match=known)
        assert (response.status_code, response["ETag"]) == (304, etag)
    response = fetch(film, If_None_Match='"a"')
    assert response.status_code == 200
    response.close()


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-5"}, {"Range": "bytes=-0"}, {"If_None_Match": "*"}])
def test_every_answer_forbids_to_sniff_to_run_and_to_share(headers: dict[str, str], film: Path) -> None:
    response = fetch(film, **headers)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Content-Disposition"] == 'inline; filename="video"'
    assert "private" in response["Cache-Control"]
    response.close()


def test_the_declared_type_is_the_one_that_is_sent(film: Path) -> None:
    for headers in ({}, {"Range": "bytes=0-5"}):
        response = fetch(film, **headers)
        assert response["Content-Type"] == "video/webm"
        response.close()


def test_links_folders_and_missing_files_are_not_found(film: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(film)
    for path in (tmp_path / "link", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(Http404):
            fetch(path)


def test_an_empty_file_is_served_and_has_no_ranges(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert body(fetch(path)) == b""
    for header in ("bytes=0-", "bytes=-5"):
        assert fetch(path, Range=header).status_code == 416


@pytest.mark.parametrize("recipe", corpus.RECIPES, ids=lambda recipe: recipe.name)
def test_the_type_follows_from_what_was_decoded(recipe: corpus.Recipe, clips: Clips) -> None:
    facts = read_facts(clips[recipe.name])
    assert serve.content_type(facts.container, video=facts.video_codec is not None) == recipe.media_type


def test_an_unknown_container_has_no_type_that_a_browser_opens() -> None:
    assert serve.content_type("text/html") == "application/octet-stream"


SIZES = st.integers(0, 40)
NUMBERS = st.integers(0, 50) | st.just(10**30)


def verdict(header: str, size: int) -> list[int] | None:
    """The positions of the bytes to send: none when unsatisfiable, None when the header is to be ignored."""
    try:
        wanted = serve.parse_range(header, size)
    except serve.UnsatisfiableError:
        return []
    return None if wanted is None else list(range(wanted[0], wanted[1] + 1))


@given(NUMBERS, NUMBERS | st.none(), SIZES)
def test_a_range_means_the_bytes_between_its_ends(first: int, last: int | None, size: int) -> None:
    meant = [each for each in range(size) if first <= each and (last is None or each <= last)]
    expected = None if last is not None and last < first else meant
    assert verdict(f"bytes={first}-{'' if last is None else last}", size) == expected


@given(NUMBERS, SIZES)
def test_a_suffix_means_the_last_bytes(length: int, size: int) -> None:
    assert verdict(f"bytes=-{length}", size) == [each for each in range(size) if each >= size - length]


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9, -]{0,30}", fullmatch=True), SIZES)
@example("bytes=" + "9" * 10_000 + "-", 5)
def test_no_header_whatever_asks_for_bytes_that_are_not_there(header: str, size: int) -> None:
    assert set(verdict(header, size) or ()) <= set(range(size))
