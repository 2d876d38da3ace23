"""S05, S20: Rules that a later call site could forget, checked in the source of everything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("evaluations", "introeval", "queueing", "scripts", "deploy", "tests")
# The door itself, and the corpus, whose negative controls show what happens without it.
DOORS = {"evaluations/media/container.py", "tests/evaluations/media/corpus.py"}
# They open what they are given with av.open or an ffmpeg binary.
READERS = {"decode_audio", "load_audio"}


def sources() -> Iterator[Path]:
    yield ROOT / "manage.py"
    for folder in SOURCES:
        yield from (ROOT / folder).rglob("*.py")


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from call_offences(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "av":
            yield from (f"imports av.{each.name}" for each in node.names if each.name == "open")


def call_offences(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in {"av.open", "av.container.open"} and not writes(call):
        yield "opens media for reading"
    if name.split(".")[-1] in READERS:
        yield f"reads media with {name}"
    if name in {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}:
        yield f"starts a shell with {name}"
    if any(each.arg == "shell" and not is_false(each.value) for each in call.keywords):
        yield "starts a shell"


def writes(call: ast.Call) -> bool:
    mode = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "mode"), None)
    return isinstance(mode, ast.Constant) and mode.value == "w"


def is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_media_is_opened_by_one_function_and_no_process_by_a_shell() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {offence}"
        for path in sources()
        if path.relative_to(ROOT).as_posix() not in DOORS
        for offence in offences(ast.parse(path.read_text()))
    }
    assert found == set()


@pytest.mark.parametrize(
    "line",
    [
        "av.open(path)",
        "av.open(path, 'r')",
        "av.open(path, mode=mode)",
        "from av import open",
        "from av.container import open as look",
        "faster_whisper.decode_audio(path)",
        "whisper.load_audio(path)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=1)",
        "os.system(command)",
    ],
)
def test_the_rule_sees(line: str) -> None:
    assert list(offences(ast.parse(line)))


@pytest.mark.parametrize("line", ["av.open(path, 'w', format='wav')", "open(path)", "subprocess.run([a], shell=False)"])
def test_the_rule_permits(line: str) -> None:
    assert not list(offences(ast.parse(line)))
