"""A model that writes whatever it is told to, and a reader of what is shown."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from queueing.engines.base import LanguageOptions, Prompt, WrittenText
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.exceptions import Interrupted


class Obedient(SimulatedLanguage):
    """Answers with `says`, or what that makes of its prompt, in pieces of three characters."""

    def __init__(self, says: str | Callable[[Prompt], str]) -> None:
        super().__init__()
        self.says = says
        self.was_asked = False

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        self.was_asked = True
        text = self.says if isinstance(self.says, str) else self.says(prompt)
        for start in range(0, len(text), 3):
            if stop.is_set():
                raise Interrupted
            on_text(text[start : start + 3])
        return WrittenText(text, self.model, "stop", 100, len(text) // 4, 0.0)


class ShownText:
    """What a student sees: a `StageProgress`."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, done: float, total: float) -> None:
        """An answer has no length that is known before."""

    def write(self, piece: str) -> None:
        self.text += piece
