"""Cards for the printer. Their codes are known in one answer only, so it can't be asked for twice by accident."""

from __future__ import annotations

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from evaluations.access.members import cards
from evaluations.access.passwords import is_loopback
from evaluations.access.permissions import get_taught_classroom, signed_in
from evaluations.actions import trail
from evaluations.models import Classroom, LoginCard
from evaluations.views.members import choosing


@never_cache
@login_required
@require_POST
def print_cards(request: HttpRequest, pk: int) -> HttpResponse:
    """New cards for the students that are ticked, or for all; with `reset`, instead of their passwords.

    `newest` is the newest card that the page with the button knew of: a page that is loaded again, or a second window,
    does not end the cards that were just printed.
    """
    found = get_taught_classroom(request, pk)
    if request.POST.get("newest", "") != newest_card(found):
        messages.warning(request, _("Cards were made since. Those work; new ones would end them."))
        return redirect("members", pk=pk)
    students = choosing.students(request, found)
    by = signed_in(request)
    if "reset" in request.POST:
        printed = cards.reset(found, students, by=by)
    else:
        printed = cards.make(found, students or found.students.all(), by=by)
    if not printed:
        messages.info(request, _("There is nobody to make a card for."))
        return redirect("members", pk=pk)
    what = "card instead of a password" if "reset" in request.POST else "card"
    trail.record(trail.Verb.ADMITTED, *(card.student for card in printed), what=what, classroom=found)
    address = request.build_absolute_uri(reverse("card"))
    context = {
        "classroom": found,
        "cards": [(card, qr_code(f"{address}#{card.code}")) for card in printed],
        "address": address.split("://")[-1],
        "school": settings.SCHOOL,
        "until": cards.end_of_day(settings.CARD_DAYS),
        "only_here": leads_to_this_computer(request),
    }
    return render(request, "evaluations/members/cards.html", context)


def newest_card(found: Classroom) -> str:
    """Changes whenever cards of the class are made."""
    newest = LoginCard.objects.filter(classroom=found).aggregate(at=Max("made_at"))["at"]
    return newest.isoformat() if newest else "none"


def qr_code(text: str) -> SafeString:
    """As an SVG element, without scripts and styles of its own."""
    made: str = segno.make(text, error="m", micro=False).svg_inline(
        omitsize=True, svgclass=None, lineclass=None, border=2
    )
    return mark_safe(made)  # noqa: S308 - made of numbers by the library


def leads_to_this_computer(request: HttpRequest) -> bool:
    """Whether the page's own address is one that other computers can't open."""
    name, _port = split_domain_port(request.get_host())
    return is_loopback(name)
