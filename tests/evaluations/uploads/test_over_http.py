"""What needs a real server: bodies that differ from their headers, and concurrent requests."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
import pytest
from django.conf import settings
from django.test import Client

from evaluations.models import Submission, Upload
from queueing.models import Task
from tests.browser.conftest import site
from tests.conftest import Cast
from tests.evaluations.uploads.conftest import metadata

__all__ = ["site"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MIB = 1024 * 1024
MAX_BODY = settings.UPLOAD_CHUNK_BYTES + 64 * 1024
CLIENT = "b3c8d0a4-5f27-4d2b-9a46-0e8f5d1c7a90"
TOKEN = "t" * 32
BODY = "application/offset+octet-stream"


@pytest.fixture
def disk() -> None:
    """The server's own: tests check what it stores, not where."""


@dataclass
class Wire:
    """A student's requests, byte by byte."""

    port: int
    cookie: str

    def head(self, method: str, path: str, **headers: str) -> bytes:
        always = {"Host": "127.0.0.1", "Tus-Resumable": "1.0.0", "Cookie": self.cookie, "X-CSRFToken": TOKEN}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = (f"{name}: {value}" for name, value in {**always, **named}.items())
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()

    def ask(self, method: str, path: str, /, *body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer. What the server doesn't want to read any more is not sent."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as line:
            line.sendall(self.head(method, path, **headers))
            with contextlib.suppress(OSError):
                for piece in body:
                    line.sendall(piece)
            return _answer(line)

    def start(self, **headers: str) -> str:
        status, said, body = self.ask("POST", "/api/uploads/", b"", Content_Length="0", **headers)
        assert status == 201, body
        return said["location"]

    def offset(self, path: str) -> int:
        return int(self.ask("HEAD", path)[1]["upload-offset"])


def _answer(line: socket.socket) -> tuple[int, dict[str, str], bytes]:
    with line.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while header := file.readline().strip().decode():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, file.read(int(headers.get("content-length", 0)))


@pytest.fixture
def ada(site: str, cast: Cast) -> Wire:
    client = Client()
    client.force_login(cast.ada)
    return Wire(int(site.rsplit(":", 1)[1]), f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}")


@pytest.fixture
def memory(ada: Wire) -> Iterator[psutil.Process]:
    """The server's process; whatever a test sends, it has at most some chunks in memory meanwhile."""
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr == ("127.0.0.1", ada.port) and each.pid}
    daphne = psutil.Process(pid)
    before = daphne.memory_info().rss
    yield daphne
    assert daphne.memory_info().rss - before < 20 * MIB


def test_a_body_is_no_more_than_its_length_says(ada: Wire) -> None:
    """S13: what is behind it is another request, and none that anybody understands."""
    path = ada.start(Upload_Length=str(2 * MIB))
    status, _, _ = ada.ask("PATCH", path, b"x" * MIB, Content_Length="1000", Content_Type=BODY, Upload_Offset="0")
    assert status == 204
    assert ada.offset(path) == 1000


@pytest.mark.parametrize("framing", ["declared", "in pieces"])
@pytest.mark.parametrize("path", ["/", "/login/", "/api/uploads/", "upload"])
def test_a_giant_body_is_refused_before_it_is_in_memory(
    ada: Wire, memory: psutil.Process, path: str, framing: str
) -> None:
    """S13, S15: on any address, whether its length is declared or not."""
    url = ada.start(Upload_Length=str(290 * MIB)) if path == "upload" else path
    piece = b"x" * (8 * MIB)
    sent, body = {"Content_Length": str(300 * MIB)}, piece * 4
    if framing == "in pieces":
        sent, body = {"Transfer_Encoding": "chunked"}, (b"%x\r\n" % len(piece) + piece + b"\r\n") * 4
    status, _, said = ada.ask("PATCH", url, body, Content_Type=BODY, Upload_Offset="0", **sent)
    assert status == 413
    assert json.loads(said)["code"] == "too_large"
    if path == "upload":
        assert ada.offset(url) == 0


def test_without_a_length_there_is_no_body(ada: Wire) -> None:
    path = ada.start(Upload_Length="1000")
    assert ada.ask("PATCH", path, b"x" * 1000, Content_Type=BODY, Upload_Offset="0")[0] == 204
    assert ada.offset(path) == 0


def test_a_form_full_of_blanks_costs_nothing(ada: Wire) -> None:
    """S14: base64 with whitespace in a multipart form took a minute; chunks are raw, and no form is read."""
    path = ada.start(Upload_Length=str(4 * MIB))
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    body = (part + b" " * settings.UPLOAD_CHUNK_BYTES)[: settings.UPLOAD_CHUNK_BYTES]
    began = time.monotonic()
    for method, url, status in (("PATCH", path, 415), ("POST", "/api/uploads/", 201)):
        kind = "multipart/form-data; boundary=b"
        facts = {"Content_Length": str(len(body)), "Content_Type": kind, "Upload_Offset": "0", "Upload_Length": "5"}
        assert ada.ask(method, url, body, **facts)[0] == status
    assert time.monotonic() - began < 5  # 0.5 s each on a machine of one's own


def test_fifty_requests_at_once_begin_one_upload_and_hand_in_one_submission(ada: Wire) -> None:
    """F28: a double click, a browser that tries again, a replay."""
    said = {"Upload_Length": "99", "Upload_Metadata": metadata(filename="me.mp4", client=CLIENT)}
    with ThreadPoolExecutor(50) as pool:
        begun = list(pool.map(lambda _: ada.start(**said), range(50)))
    assert len(set(begun)) == 1
    assert Upload.objects.count() == 1
    facts = {"Content_Length": "99", "Content_Type": BODY, "Upload_Offset": "0"}
    with ThreadPoolExecutor(50) as pool:
        sent = list(pool.map(lambda _: ada.ask("PATCH", begun[0], b"fLaC".ljust(99), **facts)[0], range(50)))
    assert sent.count(204) == 1
    assert set(sent) <= {204, 409, 423}
    assert (Submission.objects.count(), Task.objects.count()) == (1, 1)
