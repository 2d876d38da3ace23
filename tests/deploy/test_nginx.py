"""The shipped nginx.conf before a site that is started as introeval-web.service starts it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from evaluations.media import store
from evaluations.models import Submission
from tests.conftest import PASSWORD, Cast
from tests.crowd import CrowdWire as WebSocket
from tests.evaluations.material import hand_in
from tests.evaluations.uploads.conftest import metadata
from tests.evaluations.uploads.test_over_http import BODY, TOKEN, Wire
from tests.nginx import Nginx, nginx_before
from tests.processes.conftest import wait_until
from tests.processes.site import Program, SiteProcess, serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MIB = 1024 * 1024
GIANT = 300 * MIB
DRIBBLING, READERS = 200, 30
CLOSED_SECONDS, READING_SECONDS = 15, 5
CHUNK = settings.UPLOAD_CHUNK_BYTES


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteProcess]:
    with serving(tmp_path_factory.mktemp("site"), "--proxy-headers") as site:
        yield site


@pytest.fixture(scope="module")
def nginx(site: SiteProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx_before(site.port, tmp_path_factory.mktemp("nginx")) as nginx:
        yield nginx


def signed_in(user: User, port: int) -> Wire:
    client = Client()
    client.force_login(user)
    return Wire(port, f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}")


@pytest.fixture
def ada(nginx: Nginx, cast: Cast) -> Wire:
    return signed_in(cast.ada, nginx.port)


@contextmanager
def growing_at_most(daphne: Program, most: int) -> Iterator[None]:
    """At no moment of the block does the site have so many bytes of memory more than before."""
    before, over, seen = daphne.memory, threading.Event(), [0]

    def look() -> None:
        while not over.wait(0.02):
            seen.append(daphne.memory - before)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
    assert max(seen) <= most


# What is too much, too slow or not true


@pytest.mark.parametrize("framing", ["told", "in pieces"])
def test_a_giant_body_is_refused_whatever_its_address(ada: Wire, site: SiteProcess, framing: str) -> None:
    """S15"""
    upload = ada.start(Upload_Length=str(GIANT - 1))
    piece = bytes(10 * MIB)
    sent, body = {"Content_Length": str(GIANT)}, [piece]
    if framing == "in pieces":
        sent, body = {"Transfer_Encoding": "chunked"}, [b"%x\r\n" % len(piece), piece, b"\r\n"]
    with growing_at_most(site.daphne, 20 * MIB):
        for path in ("/", "/login/", "/api/uploads/", upload, "/submissions/x/media", "/nothing/here"):
            method = "PATCH" if path == upload else "POST"
            status, said, _ = ada.ask(method, path, *body * 30, Content_Type=BODY, Upload_Offset="0", **sent)
            assert (status, said["content-type"]) == (413, "text/html"), path  # the site's own would be JSON
    assert ada.offset(upload) == 0


def test_who_dribbles_or_says_nothing_is_hung_up_on_and_the_others_are_served(nginx: Nginx) -> None:
    """S16"""
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port))) for _ in range(DRIBBLING)]
        for line in lines:
            line.setblocking(False)
        for line in lines[::2]:
            line.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        began, still = time.monotonic(), lines
        while still and time.monotonic() - began < CLOSED_SECONDS:
            assert httpx.get(f"{nginx.url}/readyz", timeout=5).text == "ok"
            still = [line for line in still if goes_on(line, dribble=line in lines[::2])]
            assert time.monotonic() - began > 5 or len(still) == DRIBBLING
            time.sleep(0.5)
    assert still == []


def goes_on(line: socket.socket, *, dribble: bool) -> bool:
    """Whether the connection is still open; `dribble` sends a byte more."""
    with contextlib.suppress(OSError):
        if dribble:
            line.send(b"x")
        if not select.select([line], [], [], 0)[0]:
            return True
        return line.recv(4096) != b""
    return False


def test_thirty_who_read_a_film_slowly_cost_no_film_of_memory(
    ada: Wire, nginx: Nginx, site: SiteProcess, cast: Cast
) -> None:
    """S24: half of them the whole of it, half of them a range without end."""
    film = f"/submissions/{hand_in(cast.ada, cast.classroom, content=bytes(60 * MIB)).pk}/media"
    assert ada.ask("GET", film, Range="bytes=0-9")[0] == 206  # the site is warm
    with ExitStack() as stack:
        stack.enter_context(growing_at_most(site.daphne, 50 * MIB))
        lines = []
        for number in range(READERS):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(30)
            line.connect(("127.0.0.1", nginx.port))
            line.sendall(ada.head("GET", film, **({"Range": "bytes=0-"} if number % 2 else {})))
            lines.append(line)
        heads = [line.recv(17) for line in lines]
        assert heads == [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 206 Part"] * (READERS // 2)
        until = time.monotonic() + READING_SECONDS
        while time.monotonic() < until:
            assert all(line.recv(4096) for line in lines)
            time.sleep(0.1)


def test_made_up_addresses_do_not_evade_the_lock(nginx: Nginx, cast: Cast) -> None:
    """S41"""

    def sign_in(password: str, claimed: str, really: str = "127.0.0.1") -> int:
        names = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Port")
        lies = {name: f"for={claimed}" if name == "Forwarded" else claimed for name in names}
        with httpx.Client(transport=httpx.HTTPTransport(local_address=really), timeout=30) as client:
            return client.post(
                f"{nginx.url}/login/",
                data={"username": cast.ada.username, "password": password},
                headers={"Cookie": f"csrftoken={TOKEN}", "X-CSRFToken": TOKEN, **lies},
            ).status_code

    tries = [sign_in("a wrong one", f"10.0.0.{number}") for number in range(settings.AXES_FAILURE_LIMIT)]
    assert tries == [200] * (settings.AXES_FAILURE_LIMIT - 1) + [429]
    assert sign_in(PASSWORD, "10.0.1.1") == 429
    assert sign_in(PASSWORD, "127.0.0.1", really="127.0.0.2") == 302  # another computer is another matter


# What has to come through as it is


@pytest.mark.parametrize(
    "path", ["/login/", "/static/evaluations/site.css", "/readyz", "/nothing/here", "/api/nothing"]
)
def test_an_answer_comes_through_with_the_sites_own_headers(nginx: Nginx, site: SiteProcess, path: str) -> None:
    asked = {"Accept-Encoding": "gzip"}
    through, direct = (httpx.get(url + path, headers=asked) for url in (nginx.url, site.url))
    assert through.status_code == direct.status_code
    # Each of them once, the policy too.
    changing = {"date", "server", "connection", "transfer-encoding", "content-length", "content-encoding", "vary"}
    changing |= {"etag", "accept-ranges", "set-cookie", "server-timing", "expires"}
    assert told(through, changing) == told(direct, changing)
    assert abs(expires(through) - expires(direct)) < timedelta(minutes=1)
    assert len(through.headers.get_list("content-security-policy")) == 1
    assert through.headers["server"] == "nginx"
    assert "gzip" in through.headers.get("content-encoding", "") or len(through.content) < 1024
    if path.startswith("/static/"):
        assert through.content == direct.content


def expires(answer: httpx.Response) -> datetime:
    """What must not be kept expires in the second that it is made in, which may be another one for the next answer."""
    return parsedate_to_datetime(answer.headers.get("expires", "Thu, 01 Jan 1970 00:00:00 GMT"))


def told(answer: httpx.Response, but: set[str]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.headers.multi_items() if name not in but)


def test_a_film_comes_through_whole_and_in_ranges(ada: Wire, nginx: Nginx, cast: Cast) -> None:
    content = random.Random(1).randbytes(3 * MIB + 5)
    film = f"/submissions/{hand_in(cast.ada, cast.classroom, content=content).pk}/media"
    with httpx.Client(base_url=nginx.url, headers={"Cookie": ada.cookie}) as client:
        whole = client.get(film)
        assert whole.content == content
        assert whole.headers.get_list("content-security-policy") == ["sandbox; default-src 'none'"]
        for asked, expected in {
            "bytes=0-": content[:MIB],  # the most that the site gives at once
            f"bytes={MIB - 7}-{MIB + 7}": content[MIB - 7 : MIB + 8],
            f"bytes={3 * MIB}-": content[3 * MIB :],
            "bytes=-9": content[-9:],
        }.items():
            part = client.get(film, headers={"Range": asked, "If-Range": whole.headers["etag"]})
            assert (part.status_code, part.content) == (206, expected), asked
        assert client.get(film, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
        assert client.get(film, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert httpx.get(nginx.url + film).status_code == 302  # to the login


def test_a_film_is_handed_in_chunk_by_chunk_though_the_site_is_killed(
    ada: Wire, nginx: Nginx, site: SiteProcess
) -> None:
    content = b"fLaC" + random.Random(2).randbytes(2 * CHUNK + 1000)
    path = ada.start(Upload_Length=str(len(content)), Upload_Metadata=metadata(filename="me.mp4"))
    assert send(ada, path, 0, content[:CHUNK])[0] == 204
    site.daphne.kill()
    status, said, _ = send(ada, path, CHUNK, content[CHUNK : 2 * CHUNK])
    assert (status, said["retry-after"]) == (503, "10")  # which lets a page that uploads go on
    check_words(httpx.get(nginx.url))
    site.daphne.start()
    for offset in range(ada.offset(path), len(content), CHUNK):
        assert send(ada, path, offset, content[offset : offset + CHUNK])[0] == 204
    found = Submission.objects.get()
    assert found.sha256 == hashlib.sha256(content).hexdigest() == store.digest(store.locate(found.path))


def send(student: Wire, path: str, offset: int, chunk: bytes) -> tuple[int, dict[str, str], bytes]:
    facts = {"Content_Length": str(len(chunk)), "Content_Type": BODY, "Upload_Offset": str(offset)}
    return student.ask("PATCH", path, chunk, **facts)


def check_words(page: httpx.Response) -> None:
    """A page for people, in both languages, that brings all it needs."""
    assert page.status_code == 503
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert {"Back in a moment", "Gleich wieder da"} <= set(re.findall(r"<h.>(.*)</h.>", page.text))
    assert "What you uploaded is safe" in page.text
    assert not re.search(r"src=|href=|url\(|@import|<script", page.text)
    (style,) = re.findall(r"<style>(.*)</style>", page.text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]


def test_a_chunk_that_is_too_large_is_refused(ada: Wire) -> None:
    path = ada.start(Upload_Length=str(10 * MIB))
    status, _, said = send(ada, path, 0, bytes(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    assert (status, json.loads(said)["code"]) == (413, "too_large")  # in the site's words
    assert send(ada, path, 0, bytes(6 * MIB))[0] == 413
    assert ada.offset(path) == 0


async def test_a_dashboard_hears_its_news_from_the_sites_own_pages_alone(nginx: Nginx, ada: Wire) -> None:
    url = f"ws://127.0.0.1:{nginx.port}/ws/dashboard"
    page = await WebSocket.open(url, ada.cookie)
    assert json.loads((await page.receive())[1])["type"] == "snapshot"
    await page.send(b"snapshot")
    async with asyncio.timeout(10):
        while json.loads((await page.receive())[1])["type"] != "snapshot":
            pass
    page.close()
    for origin in ("http://evil.example", f"https://127.0.0.1:{nginx.port}", "http://127.0.0.1"):
        with pytest.raises(ConnectionRefusedError, match="403"):
            await WebSocket.open(url, ada.cookie, origin=origin)


def test_too_many_requests_of_one_address_are_answered_in_words(nginx: Nginx) -> None:
    with ExitStack() as stack:
        for _ in range(256):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            line.sendall(b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
        wait_until(lambda: httpx.get(nginx.url).status_code == 429)
        busy = httpx.get(nginx.url)
    assert busy.headers["retry-after"] == "10"
    assert "too many people" in busy.text
    wait_until(lambda: httpx.get(nginx.url).status_code == 302)


def test_with_a_certificate_everything_goes_by_https(cast: Cast, tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--proxy-headers", HTTPS="True") as site,
        nginx_before(site.port, tmp_path / "nginx", tls=True) as nginx,
    ):
        trusted = ssl.create_default_context(cafile=nginx.certificate)
        with httpx.Client(verify=trusted, headers={"Cookie": f"csrftoken={TOKEN}", "X-CSRFToken": TOKEN}) as client:
            moved = client.post(f"{nginx.url}/login/?next=/", headers={"X-Forwarded-Proto": "https"})
            assert (moved.status_code, moved.headers["location"]) == (308, "https://127.0.0.1/login/?next=/")
            form = {"username": cast.ada.username, "password": PASSWORD}
            answer = client.post(f"{nginx.tls_url}/login/", data=form, headers={"Origin": nginx.tls_url})
        assert answer.status_code == 302
        assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
