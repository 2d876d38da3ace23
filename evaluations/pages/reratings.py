"""An order to rate again as a page shows it: what was, beside what is new."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from evaluations.actions import reratings
from evaluations.actions.decisions import Standing, standings
from evaluations.errors import catalogue
from evaluations.models import Classroom, Evaluation, Rerating, Rubric, Submission
from evaluations.pages import rubric
from evaluations.rating import default_rubric
from evaluations.rating.reviewing import Reviewed
from evaluations.rating.rubric import BadRubricError
from queueing.models import Task
from queueing.states import LIVE, State


@dataclass(frozen=True, slots=True)
class CriterionChange:
    """A criterion of either rating; None: it has no such criterion, or no score of it."""

    title: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class ItemChange:
    """An item that came out otherwise."""

    statement: str
    before: str  # in words
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One submission of an order: the rating that counted or counts, and the new one."""

    submission: Submission
    before: float | None  # overall, as it counts: with what people decided
    after: float | None
    criteria: tuple[CriterionChange, ...]
    items: tuple[ItemChange, ...]
    unmatched: int  # items of only one of the two ratings
    status: str  # of the work, in words; empty: it is rated
    is_live: bool
    is_adopted: bool
    is_decided: bool  # a person has decided on the rating that counts
    has_earlier: bool  # one counted before this was adopted

    @property
    def is_rated(self) -> bool:
        return not self.status

    @property
    def can_be_adopted(self) -> bool:
        return self.is_rated and not self.is_adopted

    @property
    def can_be_restored(self) -> bool:
        """Whether the rating before can count again."""
        return self.is_adopted and self.has_earlier

    @property
    def difference(self) -> float | None:
        """Of the overall scores, rounded as they are shown."""
        if self.before is None or self.after is None:
            return None
        return round(self.after, 1) - round(self.before, 1)


@dataclass(frozen=True, slots=True)
class OrderView:
    order: Rerating
    rows: tuple[Comparison, ...]

    @property
    def rated(self) -> int:
        return sum(row.is_rated for row in self.rows)

    @property
    def is_live(self) -> bool:
        return any(row.is_live for row in self.rows)

    @property
    def failed(self) -> int:
        return sum(not row.is_rated and not row.is_live for row in self.rows)

    @property
    def adoptable(self) -> int:
        return sum(row.can_be_adopted for row in self.rows)

    @property
    def restorable(self) -> int:
        return sum(row.can_be_restored for row in self.rows)

    @property
    def restore_withheld(self) -> int:
        return sum(row.can_be_restored and row.is_decided for row in self.rows)

    @property
    def withheld(self) -> int:
        return sum(row.can_be_adopted and row.is_decided for row in self.rows)

    @property
    def changes_rubric(self) -> bool:
        """Whether it is by another rubric than the one by which the class's new recordings are rated."""
        return self.order.rubric_id != self.order.classroom.rubric_id

    @property
    def news(self) -> str:
        """What is worth an announcement: nothing while it goes on, for that changes every few seconds."""
        if self.is_live:
            return ""
        rated = ngettext("%(count)s rated again.", "%(count)s rated again.", self.rated) % {"count": self.rated}
        if not self.failed:
            return rated
        failed = _("%(count)s could not be rated.") % {"count": self.failed}
        return f"{rated} {failed}"


def of(order: Rerating) -> OrderView:
    """By a handful of queries, however many submissions there are."""
    submissions = list(order.submissions.select_related("student", "evaluation").order_by("created_at", "pk"))
    new = {rating.submission_id: rating for rating in order.ratings.all()}
    old = _before(order, submissions, new)
    counting = (each.evaluation for each in submissions if each.evaluation)
    stands = standings(rating.pk for rating in (*old.values(), *new.values(), *counting))
    tasks = reratings.tasks_of(order)
    rows = [_compare(each, old.get(each.pk), new.get(each.pk), tasks.get(each.pk), stands) for each in submissions]
    return OrderView(order, tuple(rows))


def orders(classroom: Classroom) -> QuerySet[Rerating]:
    """Those of a class, the newest first, each with `asked`, `rated` and `adopted`, numbers of submissions."""
    counts = classroom.reratings.select_related("rubric", "by").annotate(
        asked=Count("submissions", distinct=True),
        rated=Count("ratings", distinct=True),
        adopted=Count("ratings", filter=Q(ratings__current_of__isnull=False), distinct=True),
    )
    return counts.order_by("-pk")


def rubrics(classroom: Classroom) -> list[Rubric]:
    """By which the class can be rated: its own first, then the newest versions first."""
    rows = Rubric.objects.order_by("name", F("version").desc())
    return sorted((row for row in rows if _is_valid(row)), key=lambda row: row.pk != classroom.rubric_id)


def _is_valid(row: Rubric) -> bool:
    try:
        row.spec().validate()
    except BadRubricError:
        return False
    return True


def _before(
    order: Rerating, submissions: Sequence[Submission], new: Mapping[uuid.UUID, Evaluation]
) -> dict[uuid.UUID, Evaluation]:
    """What each new rating is compared with: what counts; where it was adopted itself, what counted before."""
    adoptions = reratings.adoptions_by(order)
    replaced = {key: each.value for key, each in adoptions.items() if isinstance(each.value, int)}
    earlier = Evaluation.objects.in_bulk(list(replaced.values()))
    found = {}
    for each in submissions:
        rating = earlier.get(replaced[each.pk]) if each.pk in replaced else each.evaluation
        if rating is not None and rating != new.get(each.pk):
            found[each.pk] = rating
    return found


def _compare(
    submission: Submission,
    old: Evaluation | None,
    new: Evaluation | None,
    task: Task | None,
    stands: Mapping[int, Standing],
) -> Comparison:
    before = stands[old.pk].of(old) if old else None
    after = stands[new.pk].of(new) if new else None
    counting = submission.evaluation
    items, unmatched = _items(before, after)
    return Comparison(
        submission=submission,
        before=before.overall if before else None,
        after=after.overall if after else None,
        criteria=tuple(_criteria(before, after)),
        items=items,
        unmatched=unmatched,
        status="" if new else _status(task),
        is_live=new is None and task is not None and task.state in LIVE,
        is_adopted=new is not None and counting == new,
        is_decided=counting is not None and reratings.is_decided(stands[counting.pk]),
        has_earlier=old is not None,
    )


def _status(task: Task | None) -> str:
    if task is None:
        return _("not under way")
    if task.state == State.FAILED:
        return catalogue.explain(task.error_code).title
    return str(task.status.label)


def _localized(rating: Reviewed | None) -> dict[str, dict[str, Any]]:
    rows = default_rubric.localized(rating.rows, rubric.language()) if rating else []
    return {row["key"]: row for row in rows}


def _criteria(before: Reviewed | None, after: Reviewed | None) -> Iterator[CriterionChange]:
    """Those of the new rating, then those that only the old one has."""
    was, is_now = _localized(before), _localized(after)
    for key in (*is_now, *(key for key in was if key not in is_now)):
        title = (is_now.get(key) or was[key])["title"]
        yield CriterionChange(title, was.get(key, {}).get("score"), is_now.get(key, {}).get("score"))


def _items(before: Reviewed | None, after: Reviewed | None) -> tuple[tuple[ItemChange, ...], int]:
    """The items that came out otherwise, and how many have no counterpart in the other rating."""
    if before is None or after is None:
        return (), 0
    was, is_now = _items_of(before), _items_of(after)
    changed = tuple(
        ItemChange(item["statement"], in_words(was[key]["credit"]), in_words(item["credit"]))
        for key, item in is_now.items()
        if key in was and was[key]["credit"] != item["credit"]
    )
    return changed, len(was.keys() ^ is_now.keys())


def _items_of(rating: Reviewed) -> dict[str, dict[str, Any]]:
    return {item["key"]: item for row in _localized(rating).values() for item in row["items"]}


def in_words(credit: float | None) -> str:
    """How an item came out."""
    if credit is None:
        return _("doesn’t apply")
    return {1.0: _("yes"), 0.0: _("no")}.get(credit, _("uncertain"))
