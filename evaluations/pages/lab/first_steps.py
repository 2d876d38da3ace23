"""What is still missing before a first lesson, for whoever runs the lab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from evaluations.models import Classroom, Evaluation
from queueing.models import Worker

__all__ = ["FirstStep", "first_steps"]


@dataclass(frozen=True, slots=True)
class FirstStep:
    name: str
    is_done: bool
    words: str
    """How it is, or what to do."""
    url: str = ""
    link: str = ""


def first_steps(classrooms: Sequence[Classroom]) -> list[FirstStep]:
    """Each with its state; none once something has been rated here by a real model: the first lesson has been.

    Args:
        classrooms: with figures (`with_figures`).
    """
    if Evaluation.objects.filter(simulated=False).exists():
        return []
    return [_class(classrooms), _students(classrooms), _address(), _worker(), _models()]


def _class(classrooms: Sequence[Classroom]) -> FirstStep:
    name = _("A class, with its task and rubric")
    if not classrooms:
        return FirstStep(
            name, False, _("There is none yet."), reverse("admin:evaluations_classroom_add"), _("Make one")
        )
    found = classrooms[0]
    url = reverse("admin:evaluations_classroom_change", args=[found.pk])
    return FirstStep(name, True, f"{found.name}: {found.rubric.name}", url, _("Change task or rubric"))


def _students(classrooms: Sequence[Classroom]) -> FirstStep:
    name = _("Its students")
    empty = [each for each in classrooms if not each.student_count]  # type: ignore[attr-defined]
    if not classrooms:
        return FirstStep(name, False, _("First the class."))
    if empty:
        words = _("Paste a list of names or upload a table, and print a card for each.")
        return FirstStep(name, False, words, reverse("members", args=[empty[0].pk]), _("Add students"))
    count = sum(each.student_count for each in classrooms)  # type: ignore[attr-defined]
    words = _("%(count)s in all.") % {"count": count}
    return FirstStep(name, True, words, reverse("members", args=[classrooms[0].pk]), _("Students and cards"))


def _address() -> FirstStep:
    name = _("An address for the students’ devices")
    if settings.LAB:
        words = _("The network reaches the lab at %(url)s. Each device is told once to trust it.")
        words %= {"url": settings.LAB_URL}
        return FirstStep(name, True, words, reverse("trust"), _("How a device trusts the lab"))
    if settings.HTTPS:
        return FirstStep(name, True, _("By HTTPS, through a proxy."))
    return FirstStep(name, False, _("Phones have a camera by HTTPS only: start the lab with “up --lab”."))


def _worker() -> FirstStep:
    name = _("A worker and its GPU")
    if not Worker.objects.alive().exists():
        words = _("No worker is alive: videos are kept and wait. “up” starts one.")
        return FirstStep(name, False, words, reverse("lab"), _("Operations"))
    nodes = Worker.objects.alive().order_by("node").values_list("node", flat=True).distinct()
    words = _("It works on %(nodes)s. How its models share a GPU, and why, is said there:")
    return FirstStep(name, True, words % {"nodes": ", ".join(nodes)}, reverse("lab"), _("Operations"))


def _models() -> FirstStep:
    name = _("Models that transcribe and rate")
    if settings.STT_ENGINE == "simulated" or settings.LLM_PROTOCOL == "simulated":
        return FirstStep(name, False, _("They are simulated: what they write is made up."))
    if not settings.LLM_CAN_JUDGE:
        return FirstStep(name, False, _("The small language model gives no scores: “make judge” brings one that does."))
    return FirstStep(name, True, f"{settings.STT_MODEL} ({settings.STT_DEVICE}), {settings.LLM_RATE_MODEL}")
