"""The stages of the pipelines by their names, and the statuses that students, staff and programs see."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Stage(TextChoices):
    """Those of the pipeline `evaluation`."""

    TRANSCRIBE = "transcribe", _("transcription")
    EXTRACT = "extract", _("form")
    RATE = "rate", _("rating")


class StageAgain(TextChoices):
    """Those of an order to rate again."""

    EXTRACT_AGAIN = "extract_again", _("form, again")
    RATE_AGAIN = "rate_again", _("rating, again")


class StageStatus(TextChoices):
    """The statuses of a task in a stage; ended tasks have those of all pipelines (`queueing.states.Status`)."""

    UPLOADED = "uploaded", _("uploaded")
    STT_PENDING = "stt_pending", _("waiting for transcription")
    STT_PROCESSING = "stt_processing", _("transcribing")
    STT_COMPLETE = "stt_complete", _("transcribed")
    EVAL_PENDING = "eval_pending", _("waiting for rating")
    EVAL_PROCESSING = "eval_processing", _("extracting the form")
    MISTRAL_COMPLETE = "mistral_complete", _("form extracted")
    LLAMA_PROCESSING = "llama_processing", _("rating")
