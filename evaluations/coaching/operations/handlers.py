"""Transcript → summary, and transcript → mind map: ask the model, keep what the transcript supports, store it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, ClassVar

from django.db.models.functions import Now

from evaluations.actions.sampling import evenly
from evaluations.coaching.operations import prompts
from evaluations.coaching.operations.support import Part, Support
from evaluations.models import MindMap, Submission, Summary, Transcript, corrected
from evaluations.rating import evidence, instructions, speech
from evaluations.rating.evidence import Sentence
from evaluations.stages.extract import refuse_unratable
from evaluations.stages.parts import in_parts
from evaluations.stages.prompts import options
from queueing.engines.base import Engines, Generation, JSONSchema, Progress, Prompt
from queueing.exceptions import Permanent
from queueing.models import Task

Place = Callable[[Mapping[str, str]], Part | None]
"""Puts what a model wrote, `{quote, text}`, beside the sentence that says it; None: no sentence does."""

PartsByName = dict[str, list[Part]]


@dataclass(frozen=True, slots=True)
class OperationWork:
    sentences: tuple[Sentence, ...]
    language: str  # code
    tries: int = 0  # failed ones so far


@dataclass(frozen=True, slots=True)
class OperationResult:
    parts: Mapping[str, list[Any]]  # the result's own columns
    dropped: int
    transcript_sha256: str
    engine: str
    model: str
    model_sha256: str
    simulated: bool
    seconds: float

    def columns(self) -> dict[str, Any]:
        """It as `TranscriptExtract` keeps it."""
        return {
            **self.parts,
            "dropped": self.dropped,
            "transcript_sha256": self.transcript_sha256,
            "prompts": prompts.VERSION,
            "engine": self.engine,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "simulated": self.simulated,
            "seconds": self.seconds,
            "created_at": Now(),
        }


class OperationStage:
    """What both stages do: ask, about parts of the transcript where the model has no room for all, and join."""

    stores: ClassVar[type[Summary | MindMap]]
    max_tokens: ClassVar[int]  # of an answer with all that its schema allows

    def prompt(self, masked: Sequence[Sentence]) -> Prompt:
        raise NotImplementedError

    def schema(self, quotable: Collection[str]) -> JSONSchema:
        raise NotImplementedError

    def read(self, answer: Mapping[str, Any], place: Place) -> PartsByName:
        """What the transcript supports of one answer."""
        raise NotImplementedError

    def joined(self, found: Sequence[PartsByName]) -> dict[str, list[Any]]:
        """The result's columns, of the answers about each part of the transcript in order."""
        raise NotImplementedError

    def prepare(self, task: Task) -> OperationWork:
        return work_on(task)

    def compute(self, work: OperationWork, engines: Engines, progress: Progress, stop: Event) -> OperationResult:
        """
        Raises:
            StageError: see `queueing.engines.base`; `not_understood` if all that is said addresses the rater.
        """
        engine = engines.language["rate"]
        support = Support(work.sentences, work.language, trust=engine.simulated)
        answers: list[Generation] = []

        def ask(masked: Sequence[Sentence]) -> PartsByName:
            quotable = evidence.beginnings([one for one in masked if one.number in support.honest])
            if not quotable:
                return {}
            wanted = options(self.max_tokens, work.tries)
            answers.append(engine.generate(self.prompt(masked), self.schema(quotable), wanted, stop=stop))
            return self.read(answers[-1].value, lambda part: support.of(quotable[part["quote"]], part["text"]))

        found = in_parts(instructions.masked(work.sentences), ask)
        if not answers:
            raise Permanent("every sentence addresses the rater", code="not_understood")
        return OperationResult(
            parts=self.joined(found),
            dropped=support.dropped,
            transcript_sha256=hashlib.sha256("\n".join(one.text for one in work.sentences).encode()).hexdigest(),
            engine=engine.name,
            model=answers[-1].model,
            model_sha256=answers[-1].digest,
            simulated=engine.simulated,
            seconds=sum(one.seconds for one in answers),
        )

    def save(self, task: Task, result: OperationResult) -> None:
        self.stores.objects.update_or_create(submission_id=task.submission_id, defaults=result.columns())


class Summarise(OperationStage):
    """Sentences in the order of the speech, and points; of a transcript read in parts, from all parts alike."""

    stores = Summary
    max_tokens = 900

    def prompt(self, masked: Sequence[Sentence]) -> Prompt:
        return prompts.summary_prompt(masked)

    def schema(self, quotable: Collection[str]) -> JSONSchema:
        return prompts.summary_schema(quotable)

    def read(self, answer: Mapping[str, Any], place: Place) -> PartsByName:
        return {name: [part for one in answer[name] if (part := place(one))] for name in ("sentences", "key_points")}

    def joined(self, found: Sequence[PartsByName]) -> dict[str, list[Any]]:
        sentences, points = (
            distinct(part for one in found for part in one.get(name, ())) for name in ("sentences", "key_points")
        )
        in_order = sorted(evenly(sentences, prompts.MAX_SENTENCES), key=lambda part: int(part["sentence"]))
        return {"sentences": in_order, "key_points": evenly(points, prompts.MAX_POINTS)}


class DrawMap(OperationStage):
    """Branches of a topic each; of too many those with the most leaves stay, and leaves from all parts alike."""

    stores = MindMap
    max_tokens = 1200

    def prompt(self, masked: Sequence[Sentence]) -> Prompt:
        return prompts.mind_map_prompt(masked)

    def schema(self, quotable: Collection[str]) -> JSONSchema:
        return prompts.mind_map_schema(quotable)

    def read(self, answer: Mapping[str, Any], place: Place) -> PartsByName:
        found: PartsByName = {}
        for branch in answer["branches"]:
            found.setdefault(branch["topic"], []).extend(leaf for one in branch["leaves"] if (leaf := place(one)))
        return found

    def joined(self, found: Sequence[PartsByName]) -> dict[str, list[Any]]:
        topics = [(topic, leaf) for one in found for topic, leaves in one.items() for leaf in leaves]
        leaves = distinct(leaf for _, leaf in topics)  # a leaf hangs on one branch
        by_topic: PartsByName = {}
        for topic, leaf in topics:
            if any(leaf is one for one in leaves):
                by_topic.setdefault(topic, []).append(leaf)
        fullest = sorted(by_topic, key=lambda topic: -len(by_topic[topic]))[: prompts.MAX_BRANCHES]
        return {
            "branches": [
                {"topic": topic, "leaves": evenly(by_topic[topic], prompts.MAX_LEAVES)}
                for topic in by_topic
                if topic in fullest
            ]
        }


def distinct(parts: Iterable[Part]) -> list[Part]:
    """Those that say something of their own: of several from one sentence not what a longer one has, or an earlier."""
    found = list(parts)
    words = [part["text"].casefold().rstrip(".") for part in found]

    def is_repeated(at: int) -> bool:
        return any(
            other["sentence"] == found[at]["sentence"]
            and words[at] in words[number]
            and (len(words[at]), -at) < (len(words[number]), -number)
            for number, other in enumerate(found)
        )

    return [part for at, part in enumerate(found) if not is_repeated(at)]


def work_on(task: Task) -> OperationWork:
    """What a summary or a mind map of the task's submission is made from.

    Raises:
        Permanent: `deleted`; `no_transcript`; or what `refuse_unratable` says: too little was said, or not understood.
    """
    if not Submission.objects.filter(pk=task.submission_id).exists():
        raise Permanent("the submission was deleted", code="deleted")
    found = Transcript.objects.filter(submission=task.submission_id).first()
    if found is None:
        raise Permanent("there is no transcript", code="no_transcript")
    transcript = corrected(found)
    refuse_unratable(transcript)
    said = evidence.sentences(speech.words_of(transcript.segments), transcript.language)
    return OperationWork(tuple(said), transcript.language, task.failures)
