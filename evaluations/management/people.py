"""How commands name a person."""

from __future__ import annotations

from django.contrib.auth.models import User

from queueing.management.base import usage


def named(wanted: str) -> User:
    """The account with that user name, or else with that number.

    Raises:
        CommandError: there is none. Others are not named: the output of commands is kept in places.
    """
    found = User.objects.filter(username=wanted).first()
    if found is None and wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        found = User.objects.filter(pk=int(wanted)).first()
    if found is None:
        raise usage(f"There is no account {wanted!r}.")
    return found
