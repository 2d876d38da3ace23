"""A student in a class, for its teachers: what they handed in, what they are allowed, and whether they can sign in."""

from __future__ import annotations

from typing import Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from evaluations.access import lockout
from evaluations.access.permissions import get_taught_student, signed_in
from evaluations.actions import trail
from evaluations.models import StudentAllowance, Submission
from evaluations.pages import rows
from evaluations.uploads import limits
from evaluations.views.members.printing import newest_card

MAX_MORE: Final = 100


class AllowanceForm(forms.ModelForm[StudentAllowance]):
    more_submissions = forms.IntegerField(
        min_value=0, max_value=MAX_MORE, label=gettext_lazy("Videos beyond what the class allows")
    )

    class Meta:
        model = StudentAllowance
        fields = ("more_submissions", "deadline")
        labels = {"deadline": gettext_lazy("Their own deadline, where the class has one")}
        help_texts = {"deadline": ""}  # the model's is for the admin
        widgets = {"deadline": forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def student(request: HttpRequest, pk: int, student: int) -> HttpResponse:
    """POST sets the allowance, or with `unlock` lets them sign in again after too many wrong passwords."""
    classroom, found = get_taught_student(request, pk, student)
    own = StudentAllowance.objects.filter(classroom=classroom, student=found).first()
    own = own or StudentAllowance(classroom=classroom, student=found)
    form = AllowanceForm(request.POST if request.method == "POST" else None, instance=own)
    if "unlock" in request.POST:
        lockout.let_in([found.username], request)
        trail.record(trail.Verb.ADMITTED, found, what="unlock", classroom=classroom)
        messages.info(request, _("They can sign in again."))
        return redirect("student", pk=pk, student=student)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        StudentAllowance.objects.update_or_create(
            classroom=classroom, student=found, defaults={**given, "by": signed_in(request), "changed_at": Now()}
        )
        trail.record(trail.Verb.SET, found, what="allowance", classroom=classroom)
        messages.info(request, _("Saved."))
        return redirect("student", pk=pk, student=student)
    submissions = Submission.objects.filter(classroom=classroom, student=found)
    context = {
        "classroom": classroom,
        "student": found,
        "rows": rows.of(submissions, rows.read_queue()),
        "form": form,
        "allowed": limits.allowed(found, classroom),
        "is_locked": bool(lockout.locked_names([found.username])),
        "newest_card": newest_card(classroom),
    }
    return render(request, "evaluations/student.html", context, status=400 if form.errors else 200)
