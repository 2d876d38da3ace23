"""The guides in docs/ as pages of the site: help is there in every installation, without a build or the internet."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_safe

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["guide", "guides", "picture"]

FOLDER: Final = Path(settings.BASE_DIR) / "docs"
WRITTEN_IN: Final = "en"
Group = tuple[str, tuple[str, ...]]
"""A heading, and the names of its guides."""
STUDENTS: Final[Group] = (_("For students"), ("student",))
OTHERS: Final[tuple[Group, ...]] = (
    (_("For teachers"), ("first-lesson", "teacher", "training")),
    (_("For operators"), ("lab-protocol", "operator", "troubleshooting", "settings", "errors")),
)
THE_REST: Final = _("Background")


@dataclass(frozen=True, slots=True)
class Guide:
    """A page of docs/ in one language, as HTML."""

    name: str
    language: str
    title: str
    html: SafeString

    @property
    def url(self) -> str:
        return reverse("guide", args=[self.name])


@require_safe
def guides(request: HttpRequest) -> HttpResponse:
    """What there is to read: a student's own guide, and everything for all others, who may not be signed in."""
    names = sorted(path.stem for path in FOLDER.glob("*.md"))
    groups: list[Group] = [STUDENTS]
    if not _is_student(request.user):
        known = {name for _, group in (STUDENTS, *OTHERS) for name in group}
        groups += [*OTHERS, (THE_REST, tuple(name for name in names if name not in known))]
    shown = [(gettext(title), [_guide(name) for name in group if name in names]) for title, group in groups]
    return render(request, "guides/guides.html", {"groups": [(title, found) for title, found in shown if found]})


@require_safe
def guide(request: HttpRequest, name: str) -> HttpResponse:
    """One page, in the reader's language if it was written in it."""
    if not (FOLDER / f"{name}.md").is_file():
        raise Http404
    return render(request, "guides/guide.html", {"guide": _guide(name)})


@require_safe
def picture(request: HttpRequest, place: str) -> HttpResponseBase:
    """A picture that guides show, by its place in docs/."""
    if place not in {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("images/*.*")}:
        raise Http404
    response = FileResponse((FOLDER / place).open("rb"))
    patch_cache_control(response, public=True, max_age=3600)
    return response


def _is_student(user: User | AnonymousUser) -> bool:
    return user.is_authenticated and not (user.is_staff or user.classes_taught.exists())


def _guide(name: str) -> Guide:
    language = (get_language() or WRITTEN_IN).partition("-")[0]
    return _read(name, language if (FOLDER / language / f"{name}.md").is_file() else WRITTEN_IN)


@cache
def _read(name: str, language: str) -> Guide:
    place = PurePosixPath(f"{name}.md") if language == WRITTEN_IN else PurePosixPath(language, f"{name}.md")
    # Here, as for the coach's answers: a worker and the commands start without it.
    from markdown_it import MarkdownIt

    # The pages are ours, as templates are; a tag in them is text all the same.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # What is wider than a phone is scrolled, by keyboard, too.
    parser.add_render_rule("fence", lambda _, tokens, at, *__: f'<pre tabindex="0">{escape(tokens[at].content)}</pre>')
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0" role="group"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = parser.parse((FOLDER / place).read_text())
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", _anchor(content.content))
    for token in tokens:
        _lead(token.children or [], place.parent)
    title = next(token.content for token in tokens if token.type == "inline")
    return Guide(name, language, title, mark_safe(parser.renderer.render(tokens, parser.options, {})))  # noqa: S308


def _lead(tokens: Sequence[Token], folder: PurePosixPath) -> None:
    """To the site's own addresses. What lies elsewhere in the checkout has none: its name stays, without a link."""
    for token in tokens:
        if token.type == "image":
            place = posixpath.normpath(folder / str(token.attrGet("src")))
            token.attrSet("src", reverse("guide-picture", args=[place]))
            token.attrSet("loading", "lazy")
        elif token.type == "link_open":
            href = _address(str(token.attrGet("href")), folder)
            token.attrSet("href", href)
            token.hidden = not href
    for opened, closed in zip(_of(tokens, "link_open"), _of(tokens, "link_close"), strict=True):
        closed.hidden = opened.hidden


def _address(href: str, folder: PurePosixPath) -> str:
    """Where `href` leads that a page in `folder` has; empty if that is none of the pages here."""
    path, _, fragment = href.partition("#")
    if "://" in href or not path:
        return href
    place = PurePosixPath(posixpath.normpath(folder / path))
    if place.suffix != ".md" or not (FOLDER / place.name).is_file() or len(place.parts) > 1 + len(folder.parts):
        return ""
    return reverse("guide", args=[place.stem]) + (f"#{fragment}" if fragment else "")


def _of(tokens: Sequence[Token], kind: str) -> list[Token]:
    return [token for token in tokens if token.type == kind]


def _anchor(heading: str) -> str:
    """As GitHub names it, where the same pages are read."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
