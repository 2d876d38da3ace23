"""What happens with a video on this very lab, by its settings: for the page that tells students and parents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ProcessingStep:
    """One thing that is done with a recording: by which program and model, and on which computer."""

    what: str
    program: str
    where: str
    leaves: bool = False
    """Whether it is sent to another computer for that."""


def processing() -> list[ProcessingStep]:
    """In the order in which it is done."""
    here = _("on a computer of this lab")
    listens = ProcessingStep(_("What is said is written down."), _model(settings.STT_ENGINE, settings.STT_MODEL), here)
    return [
        ProcessingStep(_("The video is kept."), "IntroEval", here),
        listens,
        _by_model(_("A form is filled in from what was said."), "EXTRACT"),
        _by_model(
            _("What was said is compared with the rubric; summaries and the coach’s answers are written."), "RATE"
        ),
    ]


def _by_model(what: str, role: str) -> ProcessingStep:
    program = _model(settings.LLM_PROTOCOL, getattr(settings, f"LLM_{role}_MODEL"))
    host = urlsplit(getattr(settings, f"LLM_{role}_URL")).hostname or ""
    if settings.LLM_PROTOCOL in ("embedded", "simulated") or host in LOOPBACK:
        return ProcessingStep(what, program, _("on a computer of this lab"))
    words = _("on the computer %(host)s: what was said is sent there as text, not the video") % {"host": host}
    return ProcessingStep(what, program, words, leaves=True)


def _model(engine: str, model: str) -> str:
    if engine == "simulated":
        return _("simulated: what it writes is made up")
    return f"{PurePath(model).name} ({engine})"
