"""One's own account: a password of one's own, and signing out everywhere."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from evaluations.access.permissions import signed_in
from evaluations.access.session_store import end_sessions
from evaluations.actions import mails
from evaluations.views.members.mail import AddressForm


@sensitive_post_parameters()
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """POST: a new password, for which the old one is asked if there is one; or with `everywhere`, signing out."""
    user = signed_in(request)
    if "everywhere" in request.POST:
        logout(request)
        end_sessions(user_id=user.pk)
        messages.info(request, _("You are signed out, here and everywhere else."))
        return redirect("login")
    kind: type[SetPasswordForm[User]] = PasswordChangeForm if user.has_usable_password() else SetPasswordForm
    form = kind(user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, user)
        messages.info(request, _("You have a new password."))
        return redirect("account")
    mail = AddressForm(user) if mails.is_offered() else None
    context = {"form": form, "has_password": user.has_usable_password(), "mail": mail}
    return render(request, "evaluations/members/account.html", context, status=400 if form.errors else 200)
