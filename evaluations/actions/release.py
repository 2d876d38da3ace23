"""Showing scores to students, and taking them back: each a decision of a person beside the rating, and its date."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from evaluations.actions import decisions
from evaluations.actions.decisions import Kind
from evaluations.models import Evaluation, ReviewDecision, Submission


def release(submissions: QuerySet[Submission], *, by: User, only_reviewed: bool = False) -> int:
    """Show students the ratings that count of `submissions`, or of those that were reviewed.

    Returns how many were not shown before. What isn't rated is skipped, and what is released already.
    """
    return _set(submissions, by, released=True, only_reviewed=only_reviewed)


def withdraw(submissions: QuerySet[Submission], *, by: User) -> int:
    """Hide the ratings of `submissions` from their students again. Returns how many were shown before."""
    return _set(submissions, by, released=False)


def _set(submissions: QuerySet[Submission], by: User, *, released: bool, only_reviewed: bool = False) -> int:
    with transaction.atomic():
        # All in one order, so that two people who release a class don't wait for each other in a circle.
        locked = Submission.objects.filter(pk__in=submissions.values("pk")).select_for_update(no_key=True)
        rated = [pk for pk in locked.order_by("pk").values_list("evaluation", flat=True) if pk is not None]
        ratings = list(Evaluation.objects.filter(pk__in=rated, released_at__isnull=released).only("submission"))
        if only_reviewed:
            standing = decisions.standings(one.pk for one in ratings)
            ratings = [one for one in ratings if standing[one.pk].is_reviewed]
        for one in ratings:
            ReviewDecision.objects.create(
                submission_id=one.submission_id,
                evaluation=one,
                kind=Kind.RELEASED,
                value=released,
                before=not released,
                by=by,
            )
        Evaluation.objects.filter(pk__in=[one.pk for one in ratings]).update(released_at=Now() if released else None)
    return len(ratings)
