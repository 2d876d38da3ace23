"""What plain HTTP shows of a lab that is open to its network: how to come to its HTTPS address, and no more."""

from __future__ import annotations

from typing import Final

import segno
from csp.decorators import csp_update
from django.conf import settings
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template import loader
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.deprecation import MiddlewareMixin
from django.utils.safestring import mark_safe
from django.views import View, defaults

from introeval.lan import addresses
from introeval.lan.certificates import Certificates

__all__ = ["Authority", "HttpsOnly", "Trust", "bad_request", "certificates", "follow_addresses", "https_url"]

# The static files are the page's; the last two are for programs on the same machine.
PLAIN: Final = ("/trust/", "/static/", "/readyz", "/metrics")


class HttpsOnly(MiddlewareMixin):
    """Under LAB everything else that comes by plain HTTP is shown the way; no password may go through the air."""

    def __init__(self, get_response: object) -> None:
        if not settings.LAB:
            raise MiddlewareNotUsed
        super().__init__(get_response)  # type: ignore[arg-type]

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.is_secure() or request.path.startswith(PLAIN):
            return None
        host, _ = split_domain_port(request.get_host())
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(reverse("trust"), headers={"Cache-Control": "no-store"})
        words = f"This lab is reached at {https_url(host)} only: what is sent by HTTP can be read by others.\n"
        return HttpResponse(words, status=403, content_type="text/plain; charset=utf-8")


@method_decorator(csp_update({"connect-src": ["https:"]}), name="dispatch")
class Trust(View):
    """How a device comes to trust the lab, for each kind of device; a script looks whether this one does already."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.LAB:
            raise Http404
        host, _ = split_domain_port(request.get_host())
        return render(
            request,
            "lan/trust.html",
            {
                "url": https_url(host),
                "fingerprint": certificates().fingerprint(),
                "qr": mark_safe(_drawn(request.build_absolute_uri())),  # noqa: S308 - segno's own drawing
            },
        )


class Authority(View):
    """The certificate authority's certificate, as a file that devices offer to install."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if not settings.LAB or not certificates().authority.exists():
            raise Http404
        file = certificates().authority.open("rb")
        return FileResponse(file, filename="introeval-lab.crt", content_type="application/x-x509-ca-cert")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """For a host that is none of ours, in words and with the address that is; else Django's own."""
    if not isinstance(exception, DisallowedHost):
        return defaults.bad_request(request, exception)
    known = addresses.hosts() if settings.LAB else settings.ALLOWED_HOSTS
    hosts = [host for host in known if "*" not in host and host not in addresses.LOOPBACK] or ["localhost"]
    port = "" if settings.LAB else _port_of(request)
    urls = [https_url(host) if settings.LAB else f"{request.scheme}://{host.lstrip('.')}{port}/" for host in hosts]
    page = loader.get_template("lan/wrong_host.html").render({"urls": urls})  # no request: it would ask for the host
    return HttpResponse(page, status=400)


def certificates() -> Certificates:
    return Certificates(settings.DATA_DIR / "tls")


def https_url(host: str) -> str:
    """Where the lab is by HTTPS."""
    return addresses.https_url(host, settings.HTTPS_PORT)


def follow_addresses() -> bool:
    """Let the settings of this process know the addresses that the machine has by now; whether any is new."""
    settings.LAB_URL = https_url(addresses.best())
    known = [*dict.fromkeys([*settings.ALLOWED_HOSTS, *addresses.hosts()])]
    is_new = len(known) > len(settings.ALLOWED_HOSTS)
    settings.ALLOWED_HOSTS = known
    return is_new


def _port_of(request: HttpRequest) -> str:
    given = request.META.get("HTTP_HOST", "").rpartition(":")[2]
    return f":{given}" if given.isdigit() and len(given) <= 5 else ""


def _drawn(url: str) -> str:
    return str(segno.make(url, error="m").svg_inline(scale=5, border=2, svgclass="qr", lineclass=None, omitsize=True))
