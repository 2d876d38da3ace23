"""The language of pages and sockets, and their time zone. The translations are in locale/.

The admin is always in English, and so are the commands: their own words have no translations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import parse_qs
from zoneinfo import available_timezones

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

ZONE_COOKIE: Final = "time_zone"  # set by zone.js
WORDS: Final = ("text/html", "application/json")


class LanguageMiddleware(LocaleMiddleware):
    """The language of the cookie, set by the choice below each page; else what the browser accepts; else English."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        if request.path.startswith(reverse("admin:index")):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.get("Content-Type", "").startswith(WORDS):
            return response  # a video, for example: not in the language of the page
        patch_vary_headers(response, ["Cookie"])
        return super().process_response(request, response)


def of_socket(query: bytes) -> str:
    """The language of the page that opened a socket: `language` in its address, else English."""
    wanted = parse_qs(query.decode("latin1")).get("language", [""])[0]
    return wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


class TimeZoneMiddleware(MiddlewareMixin):
    """Times of a request are the school's (TIME_ZONE), or its browser's where a school has several."""

    def process_request(self, request: HttpRequest) -> None:
        if zone := zone_of(request.COOKIES):
            timezone.activate(zone)
        else:
            timezone.deactivate()  # what the last request on this thread left behind


def zone_of(cookies: Mapping[str, str]) -> str:
    """The browser's time zone where SEVERAL_TIME_ZONES is set; empty for the school's."""
    named = cookies.get(ZONE_COOKIE, "") if settings.SEVERAL_TIME_ZONES else ""
    return named if named in _zones() else ""


@cache
def _zones() -> set[str]:
    return available_timezones()  # looks through folders
