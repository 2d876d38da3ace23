"""From settings to engines: the one place that maps a name to its adapter. A new adapter is one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queueing.engines.base import Engines, LanguageEngine, SpeechEngine
from queueing.engines.llm.embedded import EmbeddedLlama
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.speech.openai_whisper import OpenAIWhisper
from queueing.engines.speech.simulated import SimulatedSpeech


def from_settings(settings: Any) -> Engines:
    """The engines of this node, nothing loaded yet. Roles whose address and model are the same share one."""
    made: dict[tuple[str, str], LanguageEngine] = {}
    language = {}
    for role in settings.LLM_ROLES:
        where = getattr(settings, f"LLM_{role.upper()}_URL"), getattr(settings, f"LLM_{role.upper()}_MODEL")
        made[where] = language[role] = made.get(where) or _language(settings, *where)
    return Engines(_speech(settings), language, can_judge=settings.LLM_CAN_JUDGE)


def _speech(settings: Any) -> SpeechEngine:
    if settings.STT_ENGINE == "simulated":
        return SimulatedSpeech(seconds=settings.SIMULATED_SECONDS)
    adapters: dict[str, type[FasterWhisper | OpenAIWhisper]] = {
        "faster-whisper": FasterWhisper,
        "openai-whisper": OpenAIWhisper,
    }
    return adapters[settings.STT_ENGINE](
        settings.STT_MODEL,
        device=settings.STT_DEVICE,
        threads=settings.STT_THREADS,
        wall_budget_seconds=settings.STT_WALL_BUDGET_SECONDS,
        cache=settings.DATA_DIR / "models",
    )


def _language(settings: Any, url: str, model: str) -> LanguageEngine:
    slots, context = settings.LLM_SLOTS, settings.LLM_CONTEXT_TOKENS
    adapters: dict[str, Callable[[], LanguageEngine]] = {
        "embedded": lambda: EmbeddedLlama(model, slots=slots, context_tokens=context, folder=settings.LLM_MODELS_DIR),
        "ollama": lambda: Ollama(url, model, slots=slots, context_tokens=context, shares_gpu=settings.LLM_SHARES_GPU),
        "openai": lambda: OpenAICompatible(url, model, slots=slots, context_tokens=context, key=settings.LLM_API_KEY),
        "simulated": lambda: SimulatedLanguage(settings.SIMULATED_SECONDS, slots=slots, context_tokens=context),
    }
    return adapters[settings.LLM_PROTOCOL]()
