"""The language of pages and sockets. The translations are in locale/.

The admin is always in English, and so are the commands: their own words have no translations.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.urls import reverse
from django.utils import translation
from django.utils.cache import patch_vary_headers

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
