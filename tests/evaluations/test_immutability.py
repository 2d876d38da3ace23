"""A rating is never changed after it was made, whoever tries: the database itself refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from evaluations.models import Evaluation
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results


@pytest.fixture
def rating(cast: Cast) -> Evaluation:
    return write_results(hand_in(cast.ada, cast.classroom), released_at=None)


@pytest.mark.parametrize(
    "change",
    [
        {"overall": 9.0},
        {"overall": None},
        {"scores": []},
        {"feedback": ""},
        {"flags": ["off_topic"]},
        {"provenance": {"x": 1}},
        {"rubric": None},
        {"created_at": now()},
        {"overall": 9.0, "released_at": now()},
    ],
    ids=lambda change: " and ".join(change),
)
def test_what_a_rating_says_can_not_be_changed(rating: Evaluation, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="is never changed, only released"), transaction.atomic():
        Evaluation.objects.filter(pk=rating.pk).update(**change)
    for field, value in change.items():
        setattr(rating, field, value)
    with pytest.raises(IntegrityError, match="is never changed, only released"), transaction.atomic():
        rating.save()


def test_a_rating_is_released_and_withdrawn(rating: Evaluation) -> None:
    for at in (now(), None):
        rating.released_at = at
        rating.save()
        rating.refresh_from_db()
        assert rating.released_at == at


def test_a_rating_goes_with_its_submission(rating: Evaluation) -> None:
    rating.submission.delete()
    assert not Evaluation.objects.exists()
