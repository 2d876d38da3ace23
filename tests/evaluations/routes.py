"""Every address of the site, read from the URLconf and from the WebSocket routes: what the tests of access walk."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from introeval import routing


@dataclass(frozen=True)
class Route:
    """One pattern: `name` with its namespaces, or the pattern itself if it has none."""

    name: str
    pattern: str

    def filled(self, key: object) -> str:
        """The path with `key` wherever the pattern has a placeholder, or the first word that a placeholder names.

        Where the placeholders need different keys `key` is a mapping from their names.
        """
        path = re.sub(r"\(\?P<\w+>(\w*)[^)]*\)", lambda part: part[1] or str(key), self.pattern)
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: str(key[part[1]] if isinstance(key, dict) else key), path)
        return "/" + re.sub(r"\^|\$", "", path)


def walk(
    patterns: Iterable[URLPattern | URLResolver] | None = None, before: str = "", spaces: tuple[str, ...] = ()
) -> Iterator[Route]:
    for each in get_resolver().url_patterns if patterns is None else patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from walk(each.url_patterns, path, (*spaces, each.namespace) if each.namespace else spaces)
        else:
            yield Route(":".join((*spaces, each.name or f"/{path}")), path)


def sockets(patterns: Iterable[Any] = routing.urlpatterns) -> list[str]:
    return [str(each.pattern) for each in patterns]


def undeclared(found: Collection[str], declared: Mapping[str, object]) -> str:
    """What a person must do about the difference; empty when there is none."""
    said = [f"say in the matrix who may reach {name!r}" for name in sorted(set(found) - set(declared))]
    said += [f"{name!r} is in the matrix but is no address any more" for name in sorted(set(declared) - set(found))]
    return "; ".join(said)
