"""What the doctor finds on healthy machines and on others."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from evaluations.media import store
from evaluations.models import Rubric
from introeval import doctor
from introeval.doctor import Level
from queueing.engines.llm import faults
from queueing.models import Breaker
from queueing.policy.breaker import BreakerConfig
from tests.conftest import Cast
from tests.doubles import postgres
from tests.doubles.card import GIB, FakeCard
from tests.doubles.nvml import Nvml
from tests.evaluations.material import hand_in

BOUNDED = "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=20s"
UNREACHABLE = "http://127.0.0.1:9"  # discard: nobody listens


class ModelServer:
    """A loopback HTTP server that answers GETs from a table."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        answers = self.answers

        class AnswersHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answers.get(self.path)
                self.send_response(404 if found is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), AnswersHandler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    served = ModelServer()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


@pytest.mark.django_db
def test_the_servers_of_this_session_are_well() -> None:
    assert doctor.database().level is Level.OK
    assert doctor.migrations().level is Level.OK
    assert doctor.broker().level is Level.OK
    assert "Valkey" in doctor.broker().found


def test_a_machine_that_can_do_the_work_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = {each.name: each for each in [doctor.software(), doctor.decoder(), doctor.data_dir(), doctor.disk_space()]}

    assert {name: each.level for name, each in found.items()} == dict.fromkeys(found, Level.OK)


@pytest.mark.django_db
def test_the_limits_of_a_session_are_told() -> None:
    found = doctor.sessions()
    assert found.level is Level.OK
    assert "statement_timeout 30s" in found.found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("of_the_role", "pool_size", "level", "fix"),
    [
        ("", 0, Level.WARNING, "SET statement_timeout = '30s';"),
        ("-c statement_timeout=30s -c lock_timeout=5s", 0, Level.WARNING, "SET idle_in_transaction_session_timeout"),
        (BOUNDED, 8, Level.WARNING, "DATABASE_POOL_SIZE=0"),
        (BOUNDED, 0, Level.OK, ""),
    ],
)
def test_behind_a_pooler_that_lends_sessions_by_transaction_the_role_must_have_the_limits(
    of_the_role: str, pool_size: int, level: Level, fix: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pooler is a stand-in: two connections that are one session, which begins as the role has it."""
    from django.db import connection

    settings.DATABASE_POOL_SIZE = pool_size
    with psycopg.connect(**connection.get_connection_params(), options=of_the_role, autocommit=True) as lent:
        monkeypatch.setattr(doctor, "_direct", lambda: nullcontext(lent))
        found = doctor.sessions()
    assert (found.level, "pooler" in found.found) == (level, True)
    assert fix in found.fix


@contextmanager
def at(port: int) -> Iterator[None]:
    """DATABASE_URL names that port."""
    from django.db import connection

    connection.close()
    changed = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(port), "PASSWORD": "s3cret"}
    before, connection.settings_dict = connection.settings_dict, changed
    try:
        yield
    finally:
        connection.settings_dict = before


def test_a_database_that_is_gone_is_told_with_its_reason() -> None:
    with at(9):
        found, pending, videos = doctor.database(), doctor.migrations(), doctor.stored_videos()
    assert found.level is Level.FAILURE
    assert "refused" in found.found
    assert "DATABASE_URL" in found.fix
    assert pending.level is videos.level is Level.WARNING
    assert "s3cret" not in str(found) + str(pending) + str(videos)


@pytest.mark.parametrize(
    "said", [None, postgres.login("13.20"), postgres.error("28P01", "password authentication failed")]
)
def test_a_database_that_can_not_be_used_is_asked_once(said: bytes | None) -> None:
    with postgres.answering(said) as wrong, at(wrong.port):
        found = [*doctor._served(doctor.SERVERS)]
    assert wrong.tries == 1
    unknown = {each.name for each in found if each.found == "unknown: the database does not answer"}
    assert unknown == {*doctor.OF_DATABASE.values()}
    assert [each.name for each in found if each.level is Level.FAILURE] == ["database"]


@pytest.mark.django_db(transaction=True)
def test_stored_videos_that_are_lost_or_not_mounted_are_a_warning(
    cast: Cast, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    assert doctor.stored_videos().level is Level.OK
    hand_in(cast.ada, cast.classroom)
    lost = hand_in(cast.ada, cast.classroom)
    assert doctor.stored_videos().level is Level.OK
    store.locate(lost.path).unlink()
    found = doctor.stored_videos()
    assert (found.level, found.found) == (Level.WARNING, "1 missing, 0 damaged")
    assert "verify_store" in found.fix
    settings.MEDIA_ROOT = tmp_path / "not mounted"
    assert "MEDIA_ROOT is not there" in doctor.stored_videos().found


@pytest.mark.django_db
def test_before_the_first_migration_there_are_no_stored_videos() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE evaluations_submission RENAME TO not_yet")
    assert doctor.stored_videos().found == "none yet"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("model", "level"), [("tiny.en", Level.WARNING), ("base", Level.OK)])
def test_a_class_in_a_language_that_the_model_does_not_know_is_named(
    cast: Cast, settings: Settings, model: str, level: Level
) -> None:
    settings.STT_ENGINE, settings.STT_MODEL = "faster-whisper", model
    assert doctor.class_languages().level is Level.OK
    Rubric.objects.filter(pk=cast.classroom.rubric_id).update(language="de")
    found = doctor.class_languages()
    assert found.level is level
    assert (cast.classroom.name in found.found) == ("STT_MODEL" in found.fix) == (level is Level.WARNING)


@pytest.mark.django_db(transaction=True)
def test_a_model_server_that_workers_leave_alone_is_named_with_its_own_words() -> None:
    assert doctor.model_servers().level is Level.OK
    unfit = faults.complaint("'tiny' does not support chat", where="HTTP 400")
    Breaker.objects.fail("http://gpu:11434", unfit, node="n", config=BreakerConfig())
    found = doctor.model_servers()
    assert (found.level, found.optional) == (Level.FAILURE, True)
    assert "http://gpu:11434: The language model server reports an error" in found.found
    assert "'tiny' does not support chat. Choose a model that answers in a chat." in found.found


def test_a_broker_that_is_gone_is_told_without_its_password(settings: Settings) -> None:
    settings.REDIS_URL = "redis://:s3cret@127.0.0.1:9/0"
    found = doctor.broker()

    assert found.level is Level.FAILURE
    assert "redis://127.0.0.1:9/0" in found.found
    assert "s3cret" not in str(found)


def test_a_data_directory_that_takes_no_file_is_a_failure(settings: Settings) -> None:
    settings.DATA_DIR = Path("/proc/nowhere")  # not even for root
    found = doctor.data_dir()

    assert found.level is Level.FAILURE
    assert "chown" in found.fix


@pytest.mark.parametrize(("reserve", "level"), [(1 << 60, Level.FAILURE), (1, Level.OK)])
def test_disk_space_is_measured_against_the_reserve(settings: Settings, reserve: int, level: Level) -> None:
    settings.DISK_RESERVE_BYTES, settings.UPLOAD_MAX_BYTES = reserve, 1

    assert doctor.disk_space().level is level


def test_little_room_above_the_reserve_is_a_warning(settings: Settings) -> None:
    settings.DISK_RESERVE_BYTES, settings.UPLOAD_MAX_BYTES = 1, 1 << 60

    assert doctor.disk_space().level is Level.WARNING


def test_the_model_that_judges_is_named(settings: Settings) -> None:
    settings.LLM_PROTOCOL, settings.LLM_RATE_MODEL, settings.LLM_CAN_JUDGE = "embedded", "qwen2.5-coder-1.5b", True
    assert (doctor.judge().level, doctor.judge().found) == (Level.OK, "qwen2.5-coder-1.5b")
    settings.LLM_RATE_MODEL, settings.LLM_CAN_JUDGE = "smollm2", False
    found = doctor.judge()
    assert found.level is Level.WARNING
    assert "smollm2 is too small" in found.found
    assert "make judge" in found.fix
    assert doctor.judge in doctor.ENGINES
    settings.LLM_PROTOCOL, settings.LLM_CAN_JUDGE = "simulated", True
    assert doctor.judge().found == "simulated"


def test_a_judge_whose_file_is_missing_comes_with_the_command_that_brings_it(
    settings: Settings, tmp_path: Path
) -> None:
    settings.LLM_PROTOCOL, settings.LLM_RATE_MODEL = "embedded", "qwen2.5-coder-1.5b"
    settings.LLM_MODELS_DIR = tmp_path
    found = doctor.rate_model()
    assert found.level is Level.FAILURE
    assert found.fix.startswith("make judge")


def test_a_missing_speech_model_is_a_failure_that_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    settings.STT_ENGINE, settings.STT_MODEL = "faster-whisper", str(tmp_path)
    found = doctor.speech_model()

    assert found.level is Level.FAILURE
    assert "make setup" in found.fix


def test_simulated_engines_are_a_warning(settings: Settings) -> None:
    settings.STT_ENGINE = settings.LLM_PROTOCOL = "simulated"

    assert [doctor.speech_model().level, doctor.rate_model().level] == [Level.WARNING, Level.WARNING]


def test_a_missing_weights_file_is_a_failure_that_keeps_the_site_from_starting(
    settings: Settings, tmp_path: Path
) -> None:
    settings.LLM_PROTOCOL, settings.LLM_EXTRACT_MODEL = "embedded", str(tmp_path / "none.gguf")
    found = doctor.extract_model()

    assert found.level is Level.FAILURE
    assert not found.optional


@pytest.mark.parametrize("protocol", ["ollama", "openai"])
def test_a_language_server_that_is_down_is_a_failure_the_site_can_start_with(settings: Settings, protocol: str) -> None:
    settings.LLM_PROTOCOL, settings.LLM_RATE_URL = protocol, UNREACHABLE
    found = doctor.rate_model()

    assert found.level is Level.FAILURE
    assert found.optional
    assert "LLM_RATE_URL" in found.fix


@pytest.mark.parametrize(
    ("version", "models", "level", "says"),
    [
        ("0.20.0", ["mistral:7b-instruct"], Level.OK, "Ollama 0.20.0"),
        ("0.17.0", ["mistral:7b-instruct"], Level.FAILURE, "known holes"),
        ("0.20.0", ["llama3:8b"], Level.FAILURE, "mistral:7b-instruct is not there"),
    ],
)
def test_ollama_is_asked_for_its_version_and_the_model(
    settings: Settings, model_server: ModelServer, version: str, models: list[str], level: Level, says: str
) -> None:
    model_server.answers |= {
        "/api/version": {"version": version},
        "/api/tags": {"models": [{"name": m} for m in models]},
    }
    settings.LLM_PROTOCOL, settings.LLM_EXTRACT_URL = "ollama", model_server.url
    settings.LLM_EXTRACT_MODEL = "mistral:7b-instruct"
    found = doctor.extract_model()

    assert found.level is level
    assert says in found.found


def test_a_model_that_ollama_lacks_comes_with_the_command_that_fetches_it(
    settings: Settings, model_server: ModelServer
) -> None:
    model_server.answers |= {"/api/version": {"version": "0.20.0"}, "/api/tags": {"models": []}}
    settings.LLM_PROTOCOL, settings.LLM_RATE_URL, settings.LLM_RATE_MODEL = "ollama", model_server.url, "llama3:8b"

    assert doctor.rate_model().fix == "ollama pull llama3:8b"


@pytest.mark.parametrize(("served", "level"), [("llama3", Level.OK), ("other", Level.WARNING)])
def test_an_openai_compatible_server_is_asked_what_it_serves(
    settings: Settings, model_server: ModelServer, served: str, level: Level
) -> None:
    model_server.answers["/v1/models"] = {"data": [{"id": served}]}
    settings.LLM_PROTOCOL, settings.LLM_RATE_URL, settings.LLM_RATE_MODEL = "openai", model_server.url, "llama3"

    assert doctor.rate_model().level is level


def test_nonsense_from_a_language_server_is_a_failure(settings: Settings, model_server: ModelServer) -> None:
    model_server.answers["/v1/models"] = ["no", "object"]
    settings.LLM_PROTOCOL, settings.LLM_RATE_URL = "openai", model_server.url

    assert doctor.rate_model().level is Level.FAILURE


@pytest.mark.parametrize(
    ("protocol", "extract", "rate", "level", "says"),
    [
        ("ollama", "none", "none", Level.OK, "waits for a person"),
        ("ollama", "docker restart x", "none", Level.OK, "docker restart x; three times in ten minutes"),
        ("openai", "docker restart x", "docker restart x", Level.OK, "docker restart x; three"),
        ("openai", "docker restart x", "docker restart y", Level.WARNING, "two commands for one server"),
        ("ollama", "systemctl restart x", "none", Level.FAILURE, "systemctl not on PATH"),
        ("embedded", "none", "none", Level.OK, "no server is called"),
        ("embedded", "none", "docker restart x", Level.WARNING, "LLM_RATE_RESTART set, but no server is called"),
    ],
)
def test_whether_a_server_that_hangs_could_be_restarted_is_told(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    protocol: str,
    extract: str,
    rate: str,
    level: Level,
    says: str,
) -> None:
    (tmp_path / "docker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings.LLM_PROTOCOL = protocol
    settings.LLM_EXTRACT_RESTART, settings.LLM_RATE_RESTART = extract, rate
    found = doctor.restarts()

    assert (found.level, says in found.found) == (level, True)
    assert found.optional or found.level is not Level.FAILURE


@pytest.mark.parametrize(
    ("trouble", "device", "level", "says"),
    [
        ("", "auto", Level.OK, "Example 8 GB: 7,168 MiB of 8,192 MiB free; on it: blender (pid 1, 1,024 MiB)"),
        ("no processes", "auto", Level.OK, "Example 8 GB: 7,168 MiB of 8,192 MiB free"),
        ("no device", "auto", Level.OK, "absent"),
        ("no library", "auto", Level.OK, "absent"),
        ("no driver", "cuda", Level.FAILURE, "STT_DEVICE is cuda"),
        ("versions differ", "auto", Level.WARNING, "unknown"),
        ("lost", "cuda", Level.WARNING, "unknown: GPU is lost"),
    ],
)
def test_the_gpu_is_present_absent_or_unknown_and_said_to_be_so(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    trouble: str,
    device: str,
    level: Level,
    says: str,
) -> None:
    card = FakeCard(tmp_path / "card")
    card.take("blender", "", GIB, pid=1)
    card.trouble(trouble)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(card))
    settings.STT_DEVICE = device
    found = doctor.gpu()

    assert found.level is level
    assert says in found.found


def test_a_gpu_that_is_not_looked_at_is_a_warning(settings: Settings) -> None:
    settings.GPU_WATCH = False
    assert doctor.gpu().level is Level.WARNING


def test_the_plan_without_a_gpu_and_with_the_embedded_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = FakeCard(tmp_path / "card")
    card.trouble("no library")
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(card))
    assert doctor.plan().level is Level.OK
    assert doctor.plan().found == (
        "pipelined: all stages are served by one model in memory, smollm2; no GPU is seen here"
    )


@pytest.fixture
def ollama(
    settings: Settings, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ModelServer:
    """Two models of the lab's kind, shaped as Ollama's documentation shows Llama 3 8B, and an 8 GB card."""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(FakeCard(tmp_path / "card")))
    settings.LLM_PROTOCOL, settings.LLM_SHARES_GPU = "ollama", True
    settings.LLM_EXTRACT_URL = settings.LLM_RATE_URL = model_server.url
    settings.LLM_EXTRACT_MODEL, settings.LLM_RATE_MODEL, settings.LLM_SLOTS = "mistral:7b", "llama3:8b", 1
    sizes = {"mistral:7b": 4_113_301_824, "llama3:8b": 4_661_224_676}
    model_server.answers["/api/tags"] = {"models": [{"name": name, "size": size} for name, size in sizes.items()]}
    model_server.answers["/api/show"] = {
        "model_info": {
            "general.architecture": "llama",
            "llama.attention.head_count": 32,
            "llama.attention.head_count_kv": 8,
            "llama.block_count": 32,
            "llama.context_length": 8192,
            "llama.embedding_length": 4096,
            "llama.vocab_size": 128256,
        }
    }
    return model_server


def test_the_plan_for_two_models_that_an_8_gb_card_does_not_hold_at_once(ollama: ModelServer) -> None:
    found = doctor.plan()
    assert found.level is Level.OK
    assert found.found.startswith(
        "sub-phases: mistral:7b (5.8 GiB) and llama3:8b (6.3 GiB) don't fit together into the 6.8 GiB that may be used"
    )


def test_a_plan_with_fewer_slots_than_were_set_is_a_warning(ollama: ModelServer, settings: Settings) -> None:
    settings.LLM_SLOTS = 3
    found = doctor.plan()
    assert found.level is Level.WARNING
    assert "llama3:8b fits with 1 of 3 slots" in found.found
    assert "LLM_SLOTS=1" in found.fix


def test_a_model_that_no_slots_make_fit_is_a_failure_that_the_site_can_start_with(
    ollama: ModelServer, settings: Settings
) -> None:
    ollama.answers["/api/tags"]["models"][1]["size"] = 20 << 30
    found = doctor.plan()
    assert (found.level, found.optional) == (Level.FAILURE, True)
    assert "llama3:8b" in found.found
    assert "smaller model" in found.fix


def test_the_plan_for_a_server_that_is_away_says_that_sizes_are_unknown(
    ollama: ModelServer, settings: Settings
) -> None:
    settings.LLM_EXTRACT_URL = settings.LLM_RATE_URL = UNREACHABLE
    found = doctor.plan().found
    assert found.startswith("sub-phases: mistral:7b (size unknown) and llama3:8b (size unknown) can't be held against")


def test_the_plan_for_a_server_on_another_machine_takes_nothing_of_this_one(
    ollama: ModelServer, settings: Settings
) -> None:
    settings.LLM_SHARES_GPU = False
    assert "is not this node's" in doctor.plan().found


def test_a_check_that_breaks_is_reported_and_the_others_go_on(settings: Settings) -> None:
    del settings.DISK_RESERVE_BYTES
    found = {each.name: each for each in doctor.run_checks(without=[*doctor.SERVERS, *doctor.ENGINES])}

    assert found["disk space"].level is Level.FAILURE
    assert found["software"].level is Level.OK


@pytest.mark.django_db
def test_the_command_fails_when_a_check_does_and_says_so_in_json(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STT_MODEL = str(tmp_path)
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", json=True)
    report = json.loads(capsys.readouterr().out)

    assert ended.value.code == 1
    assert report["ok"] is False
    assert [each["name"] for each in report["findings"] if each["level"] == "failure"] == ["speech model"]


@pytest.mark.django_db
def test_the_table_puts_the_cure_under_the_complaint(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STT_MODEL = str(tmp_path)
    with pytest.raises(SystemExit):
        call_command("doctor")
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("failure  speech model"))

    assert "→ make setup" in lines[at + 1]
