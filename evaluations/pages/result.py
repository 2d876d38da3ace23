"""A submission's results as a page shows them: what there is so far, and the user may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.utils.timezone import now
from django.utils.translation import gettext as _

from evaluations.access import permissions
from evaluations.actions import decisions, marking
from evaluations.actions.appeals import Appeal
from evaluations.actions.decisions import Standing
from evaluations.errors import catalogue
from evaluations.models import Evaluation, Form, ReviewDecision, Submission, Transcript, corrected
from evaluations.pages import charts, history, progress, rubric, speaking
from evaluations.pages.rows import timeline
from evaluations.rating import default_rubric, evidence, feedback, speech
from evaluations.rating.calibration.agreement import ENOUGH
from queueing.models import Task
from queueing.states import ENDED, State


def of(found: Submission, viewer: User) -> dict[str, Any]:
    """The context of `_results.html`, which first paint, push and poll share."""
    results = found.results()
    rated, decided = results.evaluation, list(found.decisions.select_related("by"))
    heard = results.transcript
    transcript = corrected(heard, decided) if heard else None
    may_see = rated is not None and permissions.may_see(viewer, rated, found.classroom)
    stand = Standing.after(one for one in decided if one.evaluation_id == rated.pk) if rated and may_see else None
    shown = decisions.as_it_counts(rated, stand) if rated and stand else None
    task = found.evaluation_task
    # Of words that were not understood nothing was measured: a pace of them would be praise for what nobody said.
    measured = measure(transcript) if transcript and task.error_code != "not_understood" else None
    words, suggestions = advice(shown, transcript, results.form) if shown else ("", [])
    return {
        "submission": found,
        "is_own": found.student_id == viewer.pk,
        "transcript": transcript,
        "form": results.form,
        "evaluation": shown,
        "is_calibrated": shown is not None and marking.marked_count(found.classroom) >= ENOUGH,
        "by_program": rated.overall if rated and stand and stand.overall is not None else None,
        "comment": stand.comment if stand else "",
        "feedback": words,
        "suggestions": suggestions,
        "is_hidden": rated is not None and shown is None,
        "missing": missing(task, transcript, rated),
        "damage": catalogue.of_damage(found.damaged_at, ends_early=found.ends_early),
        "progress": progress.of(found, viewer),
        **(_spoken(transcript, measured) if transcript and measured else {}),
        **(_scored(shown) if shown else {}),
        **(_looked_at(found, viewer, shown, decided) if shown else {}),
        **_history(task),
    }


def missing(task: Task, transcript: Transcript | None, evaluation: Evaluation | None) -> str:
    """Why a part of the results isn't there, and what follows; empty when nothing is missing."""
    if evaluation is not None:
        return ""
    if task.state not in ENDED:
        if transcript:
            return _("The result will show up here as soon as it is rated.")
        return _("The transcript will show up here as soon as it is transcribed.")
    if task.state == State.CANCELLED:
        if transcript:
            return _("The work on it was stopped before it was rated. “Try again” goes on from there.")
        return _("The work on it was stopped before the transcript came. “Try again” goes on from there.")
    if transcript:
        why = {"why": catalogue.explain(task.error_code).title}
        return _("It stopped before it was rated: %(why)s. What was found before stays, and is below.") % why
    return ""  # the error is all there is, and it is shown above


def measure(transcript: Transcript) -> speech.SpeechFacts | None:
    """The facts of speech; None where no word was recognised."""
    words = speech.words_of(transcript.segments)
    if not words:
        return None
    return speech.measure(words, speech_seconds=transcript.speech_seconds, duration=transcript.duration)


def _spoken(transcript: Transcript, measured: speech.SpeechFacts) -> dict[str, Any]:
    marks = speaking.timeline(speech.stretches(speech.words_of(transcript.segments)), transcript.duration)
    return {
        "speaking_facts": speaking.facts(measured),
        "speaking_timeline": marks,
        "speaking_places": [mark for mark in marks if mark.kind != speech.StretchKind.SPEECH],
    }


def advice(
    evaluation: Evaluation,
    transcript: Transcript | None,
    form: Form | None,
    rows: Sequence[dict[str, Any]] | None = None,
) -> tuple[str, list[str]]:
    """Feedback and suggestions in the language of the request: composed anew from the items. Others are as stored.

    `rows`: the items as they count, in that language; without them those of `evaluation`.
    """
    if evaluation.method != Evaluation.Method.ITEMS or transcript is None:
        return evaluation.feedback, evaluation.suggestions
    said = evidence.sentences(speech.words_of(transcript.segments), transcript.language)
    material = feedback.material(said, form.answers() if form else {})
    rows = scores(evaluation) if rows is None else rows
    return " ".join(feedback.remarks(rows, material)), feedback.advice(rows, material)


def scores(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The criteria and items in the language of the request, where they are IntroEval's own."""
    return default_rubric.localized(evaluation.scores, rubric.language())


def _scored(evaluation: Evaluation) -> dict[str, Any]:
    rows = scores(evaluation)
    return {"scores": rows, "radar": charts.radar([(score["title"], score["score"]) for score in rows])}


def _looked_at(found: Submission, viewer: User, shown: Evaluation, decided: Sequence[ReviewDecision]) -> dict[str, Any]:
    """What people decided, and the student's wish for another look."""
    asked, own, released = Appeal.after(decided), found.student_id == viewer.pk, shown.released_at is not None
    return {
        "decisions": history.lines(found, viewer, decided),
        "asked": asked,
        "may_ask": asked is None and own and released and shown.overall is not None,
    }


def _history(task: Task) -> dict[str, Any]:
    spans = timeline.spans(list(task.events.order_by("sequence")), now())
    return {"spans": spans, "lanes": timeline.lanes(spans), "history_summary": timeline.summary(spans)}
