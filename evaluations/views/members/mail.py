"""Mail that one wants: asked for on the account page, confirmed and ended by links in the mails themselves."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from evaluations.access.permissions import signed_in
from evaluations.actions import mails
from evaluations.models import Classroom, MailAddress


class AddressForm(forms.Form):
    """Where to, and for a teacher about which classes."""

    address = forms.EmailField(label=gettext_lazy("Your e-mail address"), max_length=254)
    classrooms = forms.ModelMultipleChoiceField(
        Classroom.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=gettext_lazy("Tell me when a class is done or somebody needs me"),
    )

    def __init__(self, user: User, data: QueryDict | None = None) -> None:
        self.row = MailAddress.objects.filter(user=user).exclude(address="").first()
        chosen = self.row.classrooms.values_list("pk", flat=True) if self.row else ()
        initial = {"address": self.row.address if self.row else "", "classrooms": list(chosen)}
        super().__init__(data, initial=initial)
        taught = Classroom.objects.taught_by(user).order_by("name")
        self.fields["classrooms"].queryset = taught  # type: ignore[attr-defined]  # of a field of models
        if not taught:
            del self.fields["classrooms"]


@require_POST
@login_required
def change(request: HttpRequest) -> HttpResponse:
    """To this address and about these classes; with `stop`, no mail any more."""
    user = signed_in(request)
    if not mails.is_offered():
        raise Http404
    form = AddressForm(user, request.POST)
    if "stop" in request.POST:
        if form.row:
            mails.stop(form.row)
        messages.info(request, _("You get no mail any more."))
    elif not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    else:
        _save(request, user, form)
    return redirect("account")


def _save(request: HttpRequest, user: User, form: AddressForm) -> None:
    address = form.cleaned_data["address"]
    if form.row is None or form.row.address != address or not form.row.confirmed_at:
        try:
            mails.ask(user, address, site=request.build_absolute_uri("/"))
        except mails.TooManyError:
            messages.error(request, _("You have asked for mail too often today. Try again tomorrow."))
            return
        messages.info(request, _("A mail is on its way to you. Open the page that it names, to say that it is right."))
    else:
        messages.info(request, _("Saved."))
    MailAddress.objects.get(user=user).classrooms.set(form.cleaned_data.get("classrooms", ()))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest) -> HttpResponse:
    """The page that a mail links to. Only a POST changes anything: programs that look at mail open its links."""
    try:
        verb, row = mails.read_token(request.GET.get("token", ""))
    except LookupError:
        raise Http404 from None
    if request.method == "POST":
        (mails.confirm if verb == "confirm" else mails.stop)(row)
    context = {"verb": verb, "address": row.address, "done": request.method == "POST"}
    return render(request, "evaluations/members/mail.html", context)
