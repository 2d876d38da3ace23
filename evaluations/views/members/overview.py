"""The students of a class for its teachers: how each can sign in, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evaluations.access import lockout
from evaluations.access.members import cards, codes, joining, roster
from evaluations.access.permissions import classrooms_taught, get_taught_classroom, signed_in
from evaluations.actions import trail
from evaluations.actions.trail import Verb
from evaluations.models import Classroom, JoinRequest, LoginCard, shown_name
from evaluations.views.members import choosing, printing


@dataclass(frozen=True, slots=True)
class Member:
    """A student of the class, and how they can sign in."""

    student: User
    card: LoginCard | None
    is_locked: bool
    has_password: bool

    @property
    def name(self) -> str:
        return shown_name(self.student)

    @property
    def card_works(self) -> bool:
        return self.card is not None and self.card.expires_at > now()


def members(classroom: Classroom) -> list[Member]:
    """By last name, those who were deactivated last; in a constant number of queries."""
    students = classroom.students.order_by("-is_active", "last_name", "first_name", "username")
    of_class = {card.student_id: card for card in LoginCard.objects.filter(classroom=classroom)}
    locked = lockout.locked_names([one.username for one in students])
    return [Member(one, of_class.get(one.pk), one.username in locked, one.has_usable_password()) for one in students]


@never_cache
@login_required
@require_safe
def overview(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_taught_classroom(request, pk)
    rows = members(found)
    join_code = joining.code_of(found)
    context = {
        "classroom": found,
        "members": rows,
        "active": sum(row.student.is_active for row in rows),
        "others": classrooms_taught(signed_in(request)).exclude(pk=found.pk),
        "newest_card": printing.newest_card(found),
        "asking": found.join_requests.waiting().select_related("student"),
        "join_code": join_code,
        "join_code_shown": codes.shown(join_code.code) if join_code else "",
        "join_address": request.build_absolute_uri(reverse("join")),
        "only_here": printing.leads_to_this_computer(request),
    }
    return render(request, "evaluations/members/overview.html", context)


@login_required
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """What `action` names, to the students that are ticked; to cards, where nobody is, to all of the class."""
    found = get_taught_classroom(request, pk)
    students = choosing.students(request, found)
    action = request.POST.get("action", "")
    if action in CARD_ACTIONS:
        of_class = LoginCard.objects.filter(classroom=found)
        chosen = of_class.filter(student__in=students) if students else of_class
        theirs = User.objects.filter(login_cards__in=chosen)
        trail.record(Verb.ADMITTED, *theirs, what=f"{action} card", classroom=found)
        words = CARD_ACTIONS[action](chosen)
    elif action in ACTIONS and students:
        words = ACTIONS[action](request, found, students)
        verb = Verb.ADMITTED if action == "unlock" else Verb.ENROLLED
        trail.record(verb, *students, what=action, classroom=found)
    else:
        words = _("Nobody was chosen, so nothing was done.")
    messages.info(request, words)
    return redirect("members", pk=pk)


def _renew(of: QuerySet[LoginCard]) -> str:
    count = cards.renew(of)
    words = ngettext("%(count)s card works again.", "%(count)s cards work again.", count)
    return words % {"count": count}


def _revoke(of: QuerySet[LoginCard]) -> str:
    count = cards.revoke(of)
    words = ngettext(
        "%(count)s card has ended, with what was opened by it.",
        "%(count)s cards have ended, with what was opened by them.",
        count,
    )
    return words % {"count": count}


def _unlock(request: HttpRequest, found: Classroom, students: list[User]) -> str:
    lockout.let_in([one.username for one in students], request)
    return _("They can sign in again.")


def _remove(request: HttpRequest, found: Classroom, students: list[User]) -> str:
    roster.take_out(found, students)
    return _left(len(students))


def _take_in(request: HttpRequest, found: Classroom, students: list[User]) -> str:
    keys = [one.pk for one in students]
    count = roster.plain_students().filter(pk__in=keys, is_active=False).update(is_active=True)
    return ngettext("%(count)s is in the class again.", "%(count)s are in the class again.", count) % {"count": count}


def _move(request: HttpRequest, found: Classroom, students: list[User]) -> str:
    others = classrooms_taught(signed_in(request)).exclude(pk=found.pk)
    target = get_object_or_404(others, pk__in=choosing.keys(request, "to"))
    roster.move(found, target, students)
    count = len(students)
    words = ngettext("%(count)s moved to %(name)s.", "%(count)s moved to %(name)s.", count)
    return words % {"count": count, "name": target.name}


def _left(count: int) -> str:
    return ngettext("%(count)s left the class.", "%(count)s left the class.", count) % {"count": count}


Action = Callable[[HttpRequest, Classroom, list[User]], str]
CARD_ACTIONS: Final[dict[str, Callable[[QuerySet[LoginCard]], str]]] = {"renew": _renew, "revoke": _revoke}
ACTIONS: Final[dict[str, Action]] = {"unlock": _unlock, "remove": _remove, "take-in": _take_in, "move": _move}


@login_required
@require_POST
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """The join code (`action` open or close), and whoever asks: `approve` or `decline`, all with `everybody`."""
    found = get_taught_classroom(request, pk)
    action = request.POST.get("action", "")
    if action == "open":
        joining.open_class(found)
        trail.record(Verb.SET, found, what="join code opened")
    elif action == "close":
        joining.close_class(found)
        trail.record(Verb.SET, found, what="join code closed")
    elif action in ("approve", "decline"):
        messages.info(request, _answered(found, choosing.requests(request, found), yes=action == "approve"))
    return redirect("members", pk=pk)


def _answered(found: Classroom, requests: list[JoinRequest], *, yes: bool) -> str:
    if yes:
        places = [student for one in requests if (student := joining.approve(one)) is not None]
        trail.record(Verb.ENROLLED, *places, what="join request approved", classroom=found)
        count = len(places)
        return ngettext("%(count)s has a place now.", "%(count)s have a place now.", count) % {"count": count}
    declined = [one for one in requests if joining.decline(one)]
    trail.record(Verb.ENROLLED, *declined, what="join request declined")
    count = len(declined)
    return ngettext("%(count)s was declined.", "%(count)s were declined.", count) % {"count": count}
