"""Who is locked out after too many wrong passwords, and letting them in again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Now


def locked_names(usernames: Collection[str]) -> set[str]:
    """Those of them that are locked on some network now."""
    since = Now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    tried = AccessAttempt.objects.filter(username__in=usernames, attempt_time__gte=since).order_by()
    # A row per browser as well: the lock counts all of them.
    counted = tried.values("username", "ip_address").annotate(failures=Sum("failures_since_start"))
    return {row["username"] for row in counted if row["failures"] >= settings.AXES_FAILURE_LIMIT}
