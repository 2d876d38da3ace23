"""Pages say what the clock on the wall says: the school's, or the browser's where a school has several zones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from pytest_django.fixtures import Settings

from evaluations.live import messages
from evaluations.models import Submission
from evaluations.pages import languages
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.views.conftest import signed_in

SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)  # clocks change in Europe


@pytest.fixture(autouse=True)
def zone_is_nobodys() -> Iterator[None]:
    yield
    timezone.deactivate()


@pytest.mark.parametrize(
    ("zone", "at", "said"),
    [
        ("Europe/Berlin", datetime(2026, 7, 1, 16, 30, tzinfo=UTC), "1 Jul, 18:30"),
        ("Europe/Berlin", datetime(2026, 12, 1, 16, 30, tzinfo=UTC), "1 Dec, 17:30"),
        ("Europe/Berlin", SPRING.replace(hour=0, minute=59), "29 Mar, 01:59"),
        ("Europe/Berlin", SPRING.replace(hour=1), "29 Mar, 03:00"),
        ("Europe/Berlin", AUTUMN.replace(hour=0, minute=30), "25 Oct, 02:30"),
        ("Europe/Berlin", AUTUMN.replace(hour=1, minute=30), "25 Oct, 02:30"),
        ("Asia/Kolkata", AUTUMN, "25 Oct, 05:30"),
        ("America/St_Johns", AUTUMN, "24 Oct, 21:30"),
        ("Pacific/Apia", AUTUMN.replace(hour=12), "26 Oct, 01:00"),
    ],
)
def test_a_moment_is_that_of_the_schools_clock_when_clocks_change_too(
    zone: str, at: datetime, said: str, settings: Settings
) -> None:
    settings.TIME_ZONE = zone
    assert Template("{% load evaluations %}{{ at|moment }}").render(Context({"at": at})) == said


@pytest.mark.parametrize(
    ("several", "cookie", "active"),
    [
        (True, "Asia/Tokyo", "Asia/Tokyo"),
        (True, "", "Europe/Berlin"),
        (True, "../../etc/passwd", "Europe/Berlin"),
        (True, "Mars/Olympus", "Europe/Berlin"),
        (False, "Asia/Tokyo", "Europe/Berlin"),
    ],
)
def test_the_browsers_zone_counts_only_in_a_school_that_has_several(
    several: bool, cookie: str, active: str, settings: Settings
) -> None:
    settings.TIME_ZONE, settings.SEVERAL_TIME_ZONES = "Europe/Berlin", several
    timezone.activate("Africa/Nairobi")  # what the last request on this thread left behind
    request = RequestFactory().get("/")
    request.COOKIES["time_zone"] = cookie
    languages.TimeZoneMiddleware(lambda _: None).process_request(request)  # type: ignore[arg-type]
    assert timezone.get_current_timezone_name() == active


@pytest.fixture
def submission(cast: Cast, settings: Settings) -> Submission:
    settings.TIME_ZONE, settings.SEVERAL_TIME_ZONES = "Europe/Berlin", True
    made = hand_in(cast.ada, cast.classroom)
    Submission.objects.update(created_at=AUTUMN.replace(hour=12))
    return made


def test_a_page_and_what_its_socket_brings_say_the_same_time(cast: Cast, submission: Submission) -> None:
    for zone, time in (("", "13:00"), ("Asia/Tokyo", "21:00"), ("America/New_York", "08:00")):
        browser = signed_in(cast.ada)
        browser.cookies["time_zone"] = zone
        assert f"25 Oct, {time}" in browser.get("/").content.decode()
        (update,) = messages.find_updates([(cast.ada.pk, messages.SentState(zone=zone))], 0.0)
        assert update
        assert any(f"25 Oct, {time}" in text for text in update.texts)
        assert update.sent.zone == zone


@pytest.mark.parametrize("several", [True, False])
def test_the_browser_is_asked_for_its_zone_only_where_it_counts(several: bool, cast: Cast, settings: Settings) -> None:
    settings.SEVERAL_TIME_ZONES = several
    assert ("zone.js" in signed_in(cast.ada).get("/").content.decode()) is several
