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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from evaluations.access.members.roster import plain_students
from evaluations.access.permissions import get_taught_classroom, get_taught_student, signed_in
from evaluations.actions import trail
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import Classroom, Consent, Receipt, Submission
from evaluations.models.privacy import MAX_CONSENT
from evaluations.uploads.privacy import consents, erasing
from evaluations.uploads.privacy.erasing import NotErasedError
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
    user = signed_in(request)
    if not plain_students().filter(pk=found.pk).exists():
        raise Http404("not a student's account")
    may = erasing.may_erase(user, found)
    if request.method != "POST" or not may:
        context = {
            "classroom": classroom,
            "student": found,
            "may": may,
            "submissions": Submission.objects.filter(student=found).count(),
        }
        status = 403 if request.method == "POST" else 200
        return render(request, "evaluations/privacy/erase.html", context, status=status)
    return _erased(request, classroom, found, user)


def _erased(request: HttpRequest, classroom: Classroom, found: User, by: User) -> HttpResponse:
    try:
        receipt = erasing.erase(student=found, by=by)
    except NotErasedError:
        raise Http404("erased meanwhile") from None
    except RefusedError as refused:
        messages.warning(request, catalogue.explain(refused.code).what)
        return redirect("erase-student", pk=classroom.pk, student=found.pk)
    words = _("The student is erased: receipt %(number)s. Backups from before still have everything.")
    messages.info(request, words % {"number": receipt.pk})
    return redirect("members", pk=classroom.pk)
