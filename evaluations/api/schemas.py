"""The shapes of the API's answers. Units are in the names; `null` always means "not known, or not there"."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import BeforeValidator, Field

from evaluations.models import MAX_QUESTION, Evaluation, Topic
from evaluations.stages.names import Stage, StageStatus
from queueing.models import Pause
from queueing.states import PhaseName, PhaseStep, Status

OptionalText = Annotated[str | None, BeforeValidator(lambda text: text or None)]
"""Text that a student may have left out: null instead of ""."""


class Problem(Schema):
    """Why something went wrong, in words for people; docs/errors.md lists all codes."""

    code: Annotated[str, Field(examples=["no_audio"])]
    title: Annotated[str, Field(examples=["There is no sound in it"])]
    what: Annotated[str, Field(examples=["The video has a picture but no sound track."])]
    todo: Annotated[str, Field(examples=["Record it again, then upload the new file."])]
    id: Annotated[str, Field(description="Tell it to your teacher: staff find the case by it.", examples=["17-4"])]


class Person(Schema):
    id: int
    name: Annotated[str, Field(examples=["Ada Lovelace"])]


class ProgressOut(Schema):
    """How much of the recording the current stage has been through."""

    done_seconds: Annotated[float, Field(description="Of audio.", examples=[12.5])]
    total_seconds: Annotated[float, Field(description="Of audio.", examples=[60.0])]


class EstimateOut(Schema):
    """How long it will still take, as the pages say it, before rounding. It goes up only if something happened."""

    low_seconds: Annotated[float, Field(description="Until the result is there, at the earliest.", examples=[240.0])]
    high_seconds: Annotated[float, Field(description="… at the latest, four times of five.", examples=[350.0])]


class Damage(Schema):
    """What is missing of a recording; the rest was used."""

    at_seconds: Annotated[float, Field(description="Where it is damaged first, or ends.", examples=[12.0])]
    ends_early: Annotated[bool, Field(description="It was cut off: bytes are missing at its end.")]
    words: Annotated[
        str, Field(examples=["The file ends early, at 0:12: it was cut off. What could be heard was used."])
    ]


class Video(Schema):
    """One submission and where it is."""

    submission_id: uuid.UUID
    classroom_id: int
    name: Annotated[str, Field(description="The file's name, as the student chose it.", examples=["hello.mp4"])]
    handed_in_at: datetime
    size_bytes: Annotated[int, Field(examples=[14_680_064])]
    duration_seconds: Annotated[float | None, Field(description="Known once it was read.", examples=[61.2])]
    damage: Annotated[Damage | None, Field(description="null: it is whole, or was not read yet.")]
    status: StageStatus | Status
    status_words: Annotated[str, Field(description="The status as a person reads it.", examples=["transcribing"])]
    stage: Annotated[Stage, Field(description="Which stage it is in, or ended in.")]
    phase: Annotated[PhaseName | None, Field(description="What the GPU must be doing for it; null when it has ended.")]
    position: Annotated[
        int | None,
        Field(
            description="n: it is the n-th to get its result, whatever step it is in; 0: its last step is being worked"
            " on; null: it has ended. It goes up only if somebody was put ahead; `why` names them.",
            examples=[3],
        ),
    ]
    waiting: Annotated[int, Field(description="How many there are with a position above 0.", examples=[7])]
    estimate: Annotated[
        EstimateOut | None, Field(description="null: not known yet, work stands still, or it has ended.")
    ]
    why: Annotated[str, Field(description="Why it waits, or why its scores do; empty when there is nothing to say.")]
    progress: Annotated[
        int | None,
        Field(
            description="Per cent of the whole way, by the forecast; it never shrinks. null: ended without a result.",
            examples=[40],
        ),
    ]
    stage_progress: Annotated[ProgressOut | None, Field(description="Of the current stage, while it runs.")]
    estimated_completion: Annotated[datetime | None, Field(description="The middle of `estimate`, as a time.")]
    batch_id: Annotated[int | None, Field(description="What is transcribed, then evaluated together.")]
    priority: Annotated[
        Literal["", "first", "last"],
        Field(description="Where a teacher put it in its line; `why` says the reason. Empty: nobody did."),
    ]
    retry_count: Annotated[int, Field(description="Tries that failed or were interrupted, of all stages.")]
    started_at: Annotated[datetime | None, Field(description="When its first try began.")]
    last_updated: datetime
    overall: Annotated[
        float | None,
        Field(description="1–10, as it counts; null: not rated, or not released to its student.", examples=[7.5]),
    ]
    error: Annotated[Problem | None, Field(description="Why it failed, or why it is being tried again.")]
    is_hidden: Annotated[bool, Field(description="It is done, and a teacher looks at it before its scores are shown.")]
    can_retry: bool
    can_cancel: bool
    sequence: Annotated[int, Field(description="Grows with every change; orders answers and socket messages.")]


class MyVideos(Schema):
    """Your own videos by what has become of them, each list the newest first."""

    completed: list[Video]
    processing: Annotated[list[Video], Field(description="A stage is being worked on.")]
    failed: Annotated[list[Video], Field(description="Those that were cancelled, too.")]
    pending: Annotated[list[Video], Field(description="In line, for the first stage or a later one.")]


class Timed(Schema):
    """A part of the recording."""

    start_seconds: Annotated[float, Field(validation_alias="start")]
    end_seconds: Annotated[float, Field(validation_alias="end")]


class WordOut(Timed):
    text: str
    probability: Annotated[float, Field(description="How sure the recogniser was, 0–1.", examples=[0.93])]


class SegmentOut(Timed):
    text: str
    words: list[WordOut]


class ModelResult(Schema):
    """Which engine and model made a result."""

    engine: Annotated[str, Field(examples=["faster-whisper"])]
    model: Annotated[str, Field(examples=["tiny.en"])]
    simulated: Annotated[bool, Field(description="Made up by a stand-in for a model.")]


class TranscriptOut(ModelResult):
    text: str
    language: Annotated[str, Field(examples=["en"])]
    language_probability: float
    duration_seconds: Annotated[float, Field(validation_alias="duration")]
    speech_seconds: float
    segments: list[SegmentOut]


class Unsupported(Schema):
    """What the model answered but the transcript doesn't say."""

    field: Annotated[str, Field(examples=["age"])]
    value: Any


class FormOut(ModelResult):
    """What the student said of themselves; null or empty where nothing was said."""

    name: OptionalText
    age: int | None
    hobbies: list[str]
    career_goals: OptionalText
    strengths: list[str]
    experience: OptionalText
    unsupported: list[Unsupported]


class Quote(Timed):
    """A sentence of the transcript, word for word."""

    sentence: Annotated[int, Field(description="Its number, from 1.")]
    quote: str


class ItemOut(Schema):
    """A yes/no statement of a criterion, and what came of it."""

    key: Annotated[str, Field(examples=["future"])]
    statement: Annotated[str, Field(examples=["names a concrete job, field or plan for the future"])]
    points: int
    answer: Annotated[bool | None, Field(description="null: uncertain, or it doesn't apply.")]
    credit: Annotated[float | None, Field(description="Share of the points earned, 0–1; null: it doesn't apply.")]
    probability: Annotated[float | None, Field(description="The model's, of true; null where words alone decided.")]
    program: Annotated[bool | None, Field(description="The program's answer, whatever a person decided since.")]
    by_person: Annotated[bool, Field(description="A teacher decided `answer`.")]
    sentences: list[Quote]


class Score(Schema):
    key: Annotated[str, Field(examples=["clarity_of_speech"])]
    title: Annotated[str, Field(examples=["Clarity of speech"])]
    score: Annotated[float, Field(description="1–10.", examples=[7.5])]
    weight: float
    items: list[ItemOut]


class Speaking(Schema):
    """Measured facts about how it was spoken."""

    words: int | None = None
    words_per_minute: float | None = None
    pauses: Annotated[int | None, Field(description="Silences of a second or more.")] = None
    long_pauses_per_minute: Annotated[float | None, Field(description="Of two seconds or more.")] = None
    longest_pause_seconds: Annotated[float | None, Field(validation_alias="longest_pause")] = None
    filler_count: int | None = None
    fillers: Annotated[dict[str, int], Field(description="Word → how often.", examples=[{"um": 2}])] = {}
    fillers_per_100_words: float | None = None
    articulation: Annotated[float | None, Field(description="Mean probability of a word, 0–1.")] = None
    doubtful_share: Annotated[float | None, Field(description="Of the words, hard to hear, 0–1.")] = None
    speech_share: Annotated[float | None, Field(description="Of the recording, 0–1.")] = None


class EvaluationOut(ModelResult):
    """Scores are computed from items and their points, never taken from a model. They are as they count, with what
    teachers decided."""

    method: Annotated[Evaluation.Method, Field(description="none: no model that can judge is installed.")]
    overall: Annotated[float | None, Field(description="1–10; null: not rated.", examples=[7.5])]
    scores: list[Score]
    overall_by_program: Annotated[
        float | None, Field(description="What the program gave, whatever a teacher decided since.", examples=[7.0])
    ] = None
    comment: Annotated[str, Field(description="A teacher's, to the student.")] = ""
    feedback: str
    suggestions: list[str]
    speech: Speaking
    flags: Annotated[
        list[str],
        Field(description="off_topic, spoken_instructions, uncertain, doubtful, damaged.", examples=[["uncertain"]]),
    ]
    released_at: Annotated[datetime | None, Field(description="null: the student doesn't see it yet.")]


class Part(Quote):
    """A few words of a model, and the sentence that says them."""

    text: str


class SummaryOut(ModelResult):
    sentences: Annotated[list[Part], Field(description="At most five, in the order of the speech.")]
    key_points: Annotated[list[Part], Field(description="At most five.")]
    dropped: Annotated[int, Field(description="Parts that the model wrote, but the transcript doesn't say.")]
    created_at: datetime


class Branch(Schema):
    topic: Topic
    leaves: Annotated[list[Part], Field(description="At most five.")]


class MindMapOut(ModelResult):
    branches: Annotated[list[Branch], Field(description="At most four.")]
    dropped: Annotated[int, Field(description="Leaves that the model wrote, but the transcript doesn't say.")]
    created_at: datetime


class AttemptOut(Schema):
    """One try of one stage."""

    stage: Stage
    began_at: datetime
    ended_at: datetime | None
    outcome: Annotated[str, Field(description="Empty while it runs.", examples=["succeeded"])]
    compute_seconds: Annotated[float | None, Field(description="In the stage's own work, without the queue.")]
    error: Problem | None


class Results(Schema):
    """What there is so far; a later failure never hides what an earlier stage found."""

    submission_id: uuid.UUID
    transcript: TranscriptOut | None
    form: FormOut | None
    evaluation: EvaluationOut | None
    is_hidden: Annotated[bool, Field(description="It is rated, but the rating is not released to you yet.")]
    summary: Annotated[SummaryOut | None, Field(description="null: none was asked for, or none is there yet.")]
    mind_map: Annotated[MindMapOut | None, Field(description="As `summary`.")]
    attempts: list[AttemptOut]


class Processing(Schema):
    """Whether a summary and a mind map of a video are being made, waiting or running."""

    success: bool
    session_id: Annotated[uuid.UUID, Field(description="The video's.")]
    summary_processing: bool
    mind_map_processing: bool
    any_processing: bool
    summary_start_time: Annotated[
        float | None, Field(description="When it was asked for, in seconds since the epoch; null while it is not made.")
    ]
    mind_map_start_time: Annotated[float | None, Field(description="As `summary_start_time`.")]


class OperationOut(Processing):
    """What is being made now that it was asked for."""

    skipped: Annotated[bool, Field(description="It was under way already; this request changed nothing.")]


class AttendedClass(Schema):
    id: int
    name: str
    prompt: Annotated[str, Field(description="What students are asked to talk about.")]
    max_duration_seconds: int
    max_submissions: Annotated[int, Field(description="Yours, with what a teacher allowed you beyond the class's.")]
    submissions_left: Annotated[int, Field(description="How many you may still hand in.")]
    deadline: Annotated[datetime | None, Field(description="Yours: nothing new can be begun after it.")]


class UnfinishedUpload(Schema):
    url: Annotated[str, Field(description="Ask it with HEAD where to go on.", examples=["/api/uploads/0f0e…"])]
    classroom_id: int
    name: str
    offset_bytes: Annotated[int, Field(description="Safely on disk.")]
    length_bytes: int | None
    expires_at: datetime


class TaughtClass(Schema):
    id: int
    name: str
    student_count: int
    submission_count: int
    handed_in_count: Annotated[
        int, Field(validation_alias="handed_in", description="Students who handed in at least one video.")
    ]


class HandedIn(Schema):
    student: Person
    video: Video
    overall: Annotated[float | None, Field(description="1–10; null until it is rated.")]


class ClassPage(Schema):
    """One page of what a class handed in, newest first."""

    id: int
    name: str
    page: int
    page_count: int
    submissions: list[HandedIn]
    missing: Annotated[list[Person], Field(description="Students who have handed in nothing yet.")]


class NodePhase(Schema):
    """What the GPU of one computer is for right now."""

    node: Annotated[str, Field(examples=["lab-pc"])]
    phase: PhaseName | None
    step: PhaseStep
    target: PhaseName | None
    since_seconds: Annotated[float, Field(description="How long it has been in this step.")]


class PauseOut(Schema):
    what: Pause.What
    node: Annotated[str | None, Field(description="null: on all.")]
    until: Annotated[datetime | None, Field(description="null: until it is lifted.")]


class LineFigures(Schema):
    """One pipeline's line in figures."""

    pipeline: Annotated[str, Field(examples=["evaluation", "coach"])]
    active: Annotated[int, Field(description="Being worked on.")]
    waiting: int
    capacity: Annotated[int | None, Field(description="So many may wait at once; null: any number.")]
    mean_wait_seconds: Annotated[
        float | None, Field(description="From the hand-in to the first work on it, of the last hundred; null: none.")
    ]
    done_last_hour: int
    refused: Annotated[int, Field(description="Because as many waited as may, since there is a count.")]


class QueueStats(Schema):
    """The queue in figures, the same as `manage.py queue_status` prints."""

    waiting: int
    running: int
    news: Annotated[str, Field(description="What the machine is doing, in words.")]
    counts: Annotated[str, Field(description="How many are in line, in words.")]
    statuses: Annotated[dict[str, int], Field(description="How many tasks of all pipelines there are of each status.")]
    failures: Annotated[dict[str, int], Field(description="Failed ones by their error's code.")]
    oldest_seconds: Annotated[float, Field(description="How long the longest wait has lasted so far.")]
    oldest_seconds_of_stage: Annotated[dict[str, float], Field(description="… in each stage, of all pipelines.")]
    worker_count: Annotated[int, Field(description="Workers that were heard of lately.")]
    phases: list[NodePhase]
    pauses: list[PauseOut]
    lines: Annotated[list[LineFigures], Field(description="Of each pipeline, the coach's among them.")]


class Ask(Schema):
    """A question to the coach about a video of one's own."""

    submission_id: uuid.UUID
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION)]


class Asked(Schema):
    """A question to the coach: where it is, and its answer so far."""

    id: uuid.UUID
    submission_id: uuid.UUID
    question: str
    asked_at: datetime
    status: Annotated[str, Field(examples=["asked", "answering", "completed", "failed", "cancelled"])]
    status_words: str
    position: Annotated[
        int, Field(description="0: being answered; n: the n-th in line; -1: it has ended.", examples=[3])
    ]
    estimate: Annotated[EstimateOut | None, Field(description="Until the answer is there; null unless it waits.")]
    why: Annotated[str, Field(description="Why it waits, in a sentence; empty when it doesn't.")]
    answer: Annotated[str, Field(description="As far as it is written. It begins anew when `restarts` grows.")]
    restarts: int
    outcome: Annotated[
        str,
        Field(
            description="`answered`; `cut` at its greatest length; `declined`, or `withheld`, with the reason in place"
            " of an answer; empty: it has not ended, or not well."
        ),
    ]
    error: Annotated[Problem | None, Field(description="Why there is no answer.")]
    model: Annotated[str, Field(description="Empty: none was asked.")]
    simulated: bool


class CoachFull(Problem):
    """As many questions wait as may."""

    estimate: Annotated[EstimateOut, Field(description="How long an answer would take by now.")]
