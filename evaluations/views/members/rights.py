"""For teachers: what a class agrees to and how long it is kept; taking a student's data out, and erasing them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluations.access import limits
from evaluations.access.permissions import get_taught_classroom, get_taught_student, signed_in
from evaluations.actions import trail
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import Classroom, Consent, Receipt, shown_name
from evaluations.models.privacy import MAX_CONSENT
from evaluations.uploads.privacy import consents, erasing
from evaluations.uploads.privacy.erasing import Candidate, NotErasedError
from evaluations.views.members import choosing
from evaluations.views.members.privacy import download


class PrivacyForm(forms.ModelForm[Classroom]):
    text = forms.CharField(
        max_length=MAX_CONSENT,
        label=gettext_lazy("What they agree to"),
        help_text=gettext_lazy("Another text is a new version: everybody is asked again before they hand in."),
        widget=forms.Textarea({"rows": 14}),
    )
    field_order = ("asks_consent", "text", "keeps_videos_days", "keeps_results_until")

    class Meta:
        model = Classroom
        fields = ("asks_consent", "keeps_videos_days", "keeps_results_until")
        labels = {
            "asks_consent": gettext_lazy("Ask for consent before anything is handed in"),
            "keeps_videos_days": gettext_lazy("Days that a video is kept after its result was released"),
            "keeps_results_until": gettext_lazy("Last day on which everything else is kept"),
        }
        help_texts = {
            "asks_consent": "",
            "keeps_videos_days": gettext_lazy(
                "Transcript and rating stay. Empty: videos are kept until somebody deletes them."
            ),
            "keeps_results_until": gettext_lazy(
                "After it all that was handed in is deleted, and what comes later a year after. Empty: it is kept until"
                " somebody deletes it."
            ),
        }
        widgets = {"keeps_results_until": forms.DateInput({"type": "date"}, format="%Y-%m-%d")}

    def clean_text(self) -> str:
        """As the browser shows it: line ends are not what makes another version."""
        return "\n".join(str(self.cleaned_data["text"]).splitlines())


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def class_privacy(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_taught_classroom(request, pk)
    text = consents.current_text(found)
    form = PrivacyForm(request.POST if request.method == "POST" else None, instance=found, initial={"text": text.text})
    if request.method == "POST" and form.is_valid():
        form.save()
        trail.record(trail.Verb.SET, found, what="privacy", fields=sorted(form.changed_data))
        new = consents.change_text(classroom=found, text=form.cleaned_data["text"], by=signed_in(request))
        messages.info(request, _("Saved as a new version.") if new else _("Saved."))
        return redirect("class-privacy", pk=pk)
    return render(
        request,
        "evaluations/privacy/classroom.html",
        {"classroom": found, "form": form, **_state(found)},
        status=400 if form.errors else 200,
    )


def _state(found: Classroom) -> dict[str, Any]:
    text = consents.current_text(found)
    agreed = Consent.objects.standing().filter(text=text).values("student") if text.pk else Consent.objects.none()
    active = found.students.filter(is_active=True)
    return {
        "version": text.version,
        "agreed": active.filter(pk__in=agreed.values("student")).count(),
        "missing": active.exclude(pk__in=agreed.values("student")).order_by("last_name", "first_name", "username"),
        "receipts": Receipt.objects.filter(classroom=found)[:20],
    }


@never_cache
@login_required
@require_safe
@limits.paced("GET")
def student_data(request: HttpRequest, pk: int, student: int) -> HttpResponseBase:
    """What is kept of a student in the classes that the teacher teaches, as a zip."""
    classroom, found = get_taught_student(request, pk, student)
    trail.record(trail.Verb.EXPORTED, found, what="everything", classroom=classroom)
    return download(request, found, viewer=signed_in(request))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def erase_student(request: HttpRequest, pk: int, student: int) -> HttpResponse:
    """GET asks first, POST erases."""
    classroom, found = get_taught_student(request, pk, student)
    people = erasing.candidates(signed_in(request), User.objects.filter(pk=found.pk))
    if not people:
        raise Http404("not a student's account")
    if request.method == "POST" and people[0].may:
        return _erased(request, classroom, people)
    back = reverse("student", args=[pk, student])
    return _to_confirm(request, classroom, people, back, status=403 if request.method == "POST" else 200)


@never_cache
@login_required
@require_POST
def erase_chosen(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first about those that are ticked; with `confirm` it erases those of them that the teacher may."""
    classroom = get_taught_classroom(request, pk)
    chosen = User.objects.filter(pk__in=[one.pk for one in choosing.students(request, classroom)])
    people = erasing.candidates(signed_in(request), chosen)
    if not people:
        messages.info(request, _("Nobody was chosen, so nothing was done."))
        return redirect("members", pk=pk)
    if "confirm" in request.POST:
        return _erased(request, classroom, people)
    return _to_confirm(request, classroom, people, reverse("members", args=[pk]))


def _to_confirm(
    request: HttpRequest, classroom: Classroom, people: list[Candidate], back: str, *, status: int = 200
) -> HttpResponse:
    going = [one for one in people if one.may]
    context = {
        "classroom": classroom,
        "people": people,
        "going": going,
        "staying": [one for one in people if not one.may],
        "videos": sum(one.videos for one in going),
        "back": back,
    }
    return render(request, "evaluations/privacy/erase.html", context, status=status)


def _erased(request: HttpRequest, classroom: Classroom, people: list[Candidate]) -> HttpResponse:
    receipts = []
    for one in people:
        if not one.may:
            continue
        try:
            receipts.append(str(erasing.erase(student=one.student, by=signed_in(request)).pk))
        except NotErasedError:  # somebody else was first
            continue
        except RefusedError as refused:
            name, why = shown_name(one.student), catalogue.explain(refused.code).what
            messages.warning(request, _("%(name)s is not erased: %(why)s") % {"name": name, "why": why})
    if receipts:
        words = ngettext(
            "The student is erased: receipt %(numbers)s. Backups from before still have everything.",
            "The students are erased: receipts %(numbers)s. Backups from before still have everything.",
            len(receipts),
        )
        messages.info(request, words % {"numbers": ", ".join(receipts)})
    return redirect("members", pk=classroom.pk)
