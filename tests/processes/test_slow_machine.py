"""Z: a real site whose disk, hashing or database does not come to an end: what needs none of them is answered.

Nothing here is timed: what is slow waits until the test lets it go on (`tests/doubles/slow.c`), and there are fewer
connections to the database than requests that wait.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from evaluations.models import Classroom, Submission
from tests.conftest import Cast
from tests.processes.conftest import database_url, wait_until
from tests.processes.site import SiteProcess, serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SOURCE = Path(__file__).parents[1] / "doubles" / "slow.c"
POOL = 2  # connections of the site to the database
PAGES = 8
TOKEN = "t" * 32


class SlowSite:
    """The site, and the gate at which what is slow waits."""

    def __init__(self, site: SiteProcess, gate: Path) -> None:
        self.site, self.gate = site, gate

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.gate.touch()
        self._waiting.write_text("")
        try:
            yield
        finally:
            self.gate.unlink()

    @property
    def _waiting(self) -> Path:
        return self.gate.with_name(f"{self.gate.name}.waiting")

    def wait_for(self, letter: str, times: int) -> None:
        wait_until(lambda: self._waiting.read_text().count(letter) >= times)

    def client(self, user: User | None = None) -> httpx.Client:
        cookie = "; ".join([f"csrftoken={TOKEN}", *([self.site.cookie(user)] if user else [])])
        headers = {"Cookie": cookie, "X-CSRFToken": TOKEN, "Tus-Resumable": "1.0.0"}
        return httpx.Client(base_url=self.site.url, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def slow_site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowSite]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a slow disk with")
    folder = tmp_path_factory.mktemp("slow")
    library, gate = folder / "slow.so", folder / "gate"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
    url = f"{database_url()}?options=-c%20lock_timeout%3D60s"  # a request that waits for a lock keeps its connection
    more = {"LD_PRELOAD": str(library), "SLOW_GATE": str(gate), "DATABASE_POOL_SIZE": str(POOL), "DATABASE_URL": url}
    with serving(folder, **more) as site:
        yield SlowSite(site, gate)


def classmates(classroom: Classroom, number: int) -> list[User]:
    students = [User.objects.create(username=f"student-{each}") for each in range(number)]
    classroom.students.add(*students)
    return students


def begin(client: httpx.Client) -> str:
    answer = client.post("/api/uploads/", headers={"Upload-Length": "8"})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def send(client: httpx.Client, address: str) -> int:
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    return client.patch(address, headers=headers, content=b"fLaC").status_code


def test_while_the_disk_holds_up_every_chunk_the_pages_are_there(cast: Cast, slow_site: SlowSite) -> None:
    students = classmates(cast.classroom, 3 * POOL)
    with ExitStack() as stack, ThreadPoolExecutor(len(students)) as pool:
        clients = [stack.enter_context(slow_site.client(student)) for student in students]
        addresses = [begin(client) for client in clients]
        with slow_site.slow():
            sent: list[Future[int]] = list(map(pool.submit, [send] * len(clients), clients, addresses))
            slow_site.wait_for("d", len(students))
            visitor = stack.enter_context(slow_site.client(cast.bo))
            for path in ("/", "/api/classes") * (PAGES // 2):
                assert visitor.get(path).status_code == 200
            assert not any(one.done() for one in sent)
        assert [one.result() for one in sent] == [204] * len(sent)


def test_while_sixty_sign_in_and_forty_say_nothing_the_pages_are_there(cast: Cast, slow_site: SlowSite) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(60) as pool:
        for _ in range(40):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", slow_site.site.port)))
            idle.sendall(b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nu")
        flood, visitor = (stack.enter_context(slow_site.client(each)) for each in (None, cast.ada))

        def sign_in(number: int) -> int:
            form = {"username": f"nobody-{number}", "password": "x", "csrfmiddlewaretoken": TOKEN}
            with slow_site.client() as client:
                return client.post("/login/", data=form).status_code

        with slow_site.slow():
            tried = [pool.submit(sign_in, number) for number in range(60)]
            slow_site.wait_for("h", 1)
            for path in ("/", "/api/classes") * (PAGES // 2):
                assert visitor.get(path).status_code == 200
            assert flood.get("/login/").status_code == 200
            assert not any(one.done() for one in tried)
        assert [one.result() for one in tried] == [200] * 60  # the form again, with its error


def test_without_a_free_connection_pages_and_programs_are_told_when_to_come_back(
    cast: Cast, slow_site: SlowSite
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(POOL + 2) as pool:
        visitors = [stack.enter_context(slow_site.client(cast.ada)) for _ in range(POOL + 2)]
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {Submission._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            held = [pool.submit(visitor.get, "/") for visitor in visitors[:POOL]]
            wait_until(lambda: waiting_for_locks() == POOL)
            refused = [pool.submit(visitors[-1].get, "/"), pool.submit(visitors[-2].get, "/api/classes")]
            for answer in (one.result() for one in refused):
                assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
            assert refused[1].result().json()["code"] == "overloaded"
            assert not any(one.done() for one in held)
        assert [one.result().status_code for one in held] == [200] * POOL


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_strangers_whose_bodies_do_not_end_cost_next_to_nothing(slow_site: SlowSite) -> None:
    """AA: a hundred of them took 400 MB, without nginx."""
    site = slow_site.site
    before = site.daphne.memory
    for number, length in ((256, 300), (100, settings.UPLOAD_CHUNK_BYTES)):
        with ExitStack() as stack:
            head = f"PATCH /api/uploads/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode()
            for _ in range(number):
                stranger = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
                with suppress(ConnectionError):  # refused before it is all sent
                    stranger.sendall(head + bytes(length - 1))
            assert httpx.get(f"{site.url}/readyz", timeout=60).status_code == 200
            assert site.daphne.memory - before < 30 * 2**20
