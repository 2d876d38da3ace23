"""From settings to engines: the one place that knows which adapter a name means."""

from __future__ import annotations

from typing import Any

from queueing.engines.base import Engines, LanguageEngine, SpeechEngine


def from_settings(settings: Any) -> Engines:
    """The engines of this node, nothing loaded yet."""
    extract = _language(settings, settings.LLM_EXTRACT_URL, settings.LLM_EXTRACT_MODEL)
    same = (settings.LLM_EXTRACT_URL, settings.LLM_EXTRACT_MODEL) == (settings.LLM_RATE_URL, settings.LLM_RATE_MODEL)
    rate = extract if same else _language(settings, settings.LLM_RATE_URL, settings.LLM_RATE_MODEL)
    return Engines(_speech(settings), extract, rate, demo_quality=settings.LLM_DEMO_QUALITY)
