from __future__ import annotations

from evaluations.models import Submission
from queueing.models import Pause, Phase, Worker
from queueing.report import figures
from queueing.states import PhaseStep
from tests.conftest import Cast
from tests.evaluations.api.conftest import ask
from tests.evaluations.material import claim, hand_in


def test_the_figures_are_those_of_the_command(cast: Cast, failed: Submission) -> None:
    claim(hand_in(cast.bo, cast.classroom))
    hand_in(cast.ada, cast.classroom)
    said, status = ask(cast.ada, "queue/stats"), figures.status()
    assert said["statuses"] == status["statuses"]
    assert (said["waiting"], said["running"]) == (1, 1)
    assert said["failures"] == {"no_audio": 1}
    assert said["worker_count"] == len(status["workers"]) == 2


def test_phases_and_pauses_are_told(cast: Cast) -> None:
    Worker.objects.create(node="lab-1", pid=1)
    Phase.objects.create(node="lab-1", name="stt", step=PhaseStep.ACTIVE)
    Pause.objects.create(what="eval", reason="fire drill", by="admin:1")
    said = ask(cast.ada, "queue/stats")
    (phase,) = said["phases"]
    assert (phase["node"], phase["phase"], phase["step"]) == ("lab-1", "stt", "active")
    assert phase["since_seconds"] >= 0
    assert [(pause["what"], pause["node"]) for pause in said["pauses"]] == [("eval", None)]
    assert "Rating is paused: fire drill." in said["news"]


def test_nothing_in_it_leads_to_a_person_or_a_machine(cast: Cast, waiting: Submission) -> None:
    worker = Worker.objects.create(node="lab-1", pid=424242)
    claim(waiting, worker)
    Phase.objects.create(node="lab-1", name="stt", step=PhaseStep.BLOCKED, reason="CUDA error 999")
    Pause.objects.create(what="stt", reason="Traceback of the disk", by="system")
    Pause.objects.create(what="eval", reason="lunch", by="user:secretary")
    said = str(ask(cast.bo, "queue/stats"))
    for secret in ("424242", str(worker.pk), "secretary", "CUDA error", "Traceback", "ada", str(waiting.pk)):
        assert secret not in said
