"""The guides as pages: there for everybody, in the reader's language, with links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.conftest import Cast

pytestmark = pytest.mark.django_db

INTO_HELP = re.compile(r'(?:href|src)="(/help/[^"#]*)(?:#([^"]*))?"')


def body(client: Client, path: str, language: str = "en") -> str:
    response = client.get(path, headers={"accept-language": language})
    assert response.status_code == 200, path
    return response.content.decode()


def titles(client: Client) -> list[str]:
    return re.findall(r'<a href="/help/[\w-]+/" lang="\w+">(.+?)</a>', body(client, "/help/"))


def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def test_a_student_is_offered_the_guide_for_students(client: Client, cast: Cast) -> None:
    assert titles(signed_in(client, cast.ada)) == ["For students"]


def test_others_are_offered_all_and_nobody_needs_to_be_signed_in(client: Client, cast: Cast) -> None:
    everything = titles(client)
    assert {"For students", "For teachers", "For operators", "Troubleshooting"} <= set(everything)
    assert titles(signed_in(client, cast.teacher)) == everything
    assert len(everything) == len(set(everything))


def test_a_guide_is_in_the_readers_language_where_it_was_written_in_it(client: Client) -> None:
    assert '<article class="guide" lang="de">' in body(client, "/help/student/", "de")
    assert "<h1" in body(client, "/help/student/", "de")
    assert '<article class="guide" lang="en">' in body(client, "/help/troubleshooting/", "de")


def links(client: Client) -> Iterator[tuple[str, str, str]]:
    """Each page in both languages, and where it leads to inside of the help: address and anchor."""
    pages = set(re.findall(r'href="(/help/[\w-]+/)"', body(client, "/help/")))
    for page in pages:
        for language in ("en", "de"):
            for path, anchor in INTO_HELP.findall(body(client, page, language).partition("<article")[2]):
                yield page, path, anchor


def test_links_and_pictures_of_guides_lead_somewhere(client: Client) -> None:
    found = sorted(set(links(client)))
    assert len(found) > 30
    assert {path.rpartition("/")[0] for _, path, _ in found} >= {"/help/images", "/help/de/images"}
    for page, path, anchor in found:
        if "/images/" in path:
            response = client.get(path)
            assert response.status_code == 200, (page, path)
            assert response["Content-Type"].startswith("image/")
            response.close()
        elif anchor:
            assert f'id="{anchor}"' in body(client, path), (page, path, anchor)
        else:
            body(client, path)


def test_what_lies_outside_of_the_guides_is_named_without_a_link(client: Client) -> None:
    page = body(client, "/help/operator/")
    assert "deploy/" in page
    assert 'href="../' not in page
    assert ".md" not in "".join(re.findall(r'href="([^"]*)"', page))


@pytest.mark.parametrize(
    "path",
    [
        "/help/no-such/",
        "/help/images/no-such.webp",
        "/help/images/..%2fstudent.md",
        "/help/student.md",
        "/help/de/student.md",
    ],
)
def test_nothing_else_of_the_disk_is_shown(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_every_page_leads_to_the_help(client: Client, cast: Cast) -> None:
    assert 'href="/help/"' in body(client, "/login/")
    assert 'href="/help/"' in body(signed_in(client, cast.ada), "/")
