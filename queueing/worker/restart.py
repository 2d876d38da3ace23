"""The one thing that IntroEval does to other programs: restart a model server, by one of two commands.

No shell, no other verb, no option, one fixed name: whoever could write the setting could otherwise run anything as the
worker's user.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NONE: Final = "none"
WALL_SECONDS: Final = 60.0
OUTPUT_BYTES: Final = 2048
POLL_SECONDS: Final = 0.05

_CONTAINER: Final = re.compile(r"docker restart ([A-Za-z0-9][A-Za-z0-9_.-]{0,127})")
# Of units only services: `reboot.target` can be restarted too.
_UNIT: Final = re.compile(
    r"systemctl restart ([A-Za-z0-9][A-Za-z0-9:_@-]{0,127}|[A-Za-z0-9][A-Za-z0-9:_.@-]{0,127}\.service)"
)
# What the two programs need to find their daemons. They get none of the worker's secrets.
_PASSED_ON: Final = re.compile(r"PATH|HOME|LANG|DOCKER_[A-Z_]+|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS")


@dataclass(frozen=True, slots=True)
class RestartAction:
    """`docker restart NAME` or `systemctl restart UNIT`."""

    program: str
    name: str

    def __str__(self) -> str:
        return f"{self.program} restart {self.name}"


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """How a command ended; its success does not mean that the server answers yet."""

    worked: bool
    output: str  # its beginning, or why it could not run


def parse(text: str) -> RestartAction | None:
    """The action that a setting names; None for `none`.

    Raises:
        ValueError: it is neither.
    """
    if text == NONE:
        return None
    if found := _CONTAINER.fullmatch(text) or _UNIT.fullmatch(text):
        return RestartAction(text.split(" ")[0], found[1])
    raise ValueError("`none`, `docker restart NAME` or `systemctl restart UNIT` (a service, without options)")


def run(action: RestartAction, *, seconds: float = WALL_SECONDS) -> RestartOutcome:
    """Run the command for at most `seconds`; raises nothing."""
    path = shutil.which(action.program)
    if path is None:
        return RestartOutcome(False, f"{action.program} is not on this machine")
    environment = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    try:
        process = subprocess.Popen(
            [Path(path).absolute(), "restart", action.name],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return RestartOutcome(False, f"{path}: {error}")
    return _ended(process, seconds)


def _ended(process: subprocess.Popen[bytes], seconds: float) -> RestartOutcome:
    output, late = b"", False
    assert process.stdout is not None
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        give_up = time.monotonic() + seconds
        # Not communicate(): what the command leaves running may keep the pipe open for ever.
        while process.poll() is None and not late:
            output = _more(output, pipe.fileno())
            late = time.monotonic() > give_up
            time.sleep(POLL_SECONDS)
        output = _more(output, pipe.fileno())
    if late:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    text = output.decode("utf-8", "replace").replace("\0", "").strip()
    if late:
        return RestartOutcome(False, f"it was stopped after {seconds:g} s. {text}".strip())
    return RestartOutcome(
        process.returncode == 0, text if process.returncode == 0 else f"exit {process.returncode}: {text}"
    )


def _more(output: bytes, descriptor: int) -> bytes:
    """The output so far, cut at OUTPUT_BYTES. The rest is read too, or the command would block on a full pipe."""
    try:
        return (output + os.read(descriptor, 65536))[:OUTPUT_BYTES]
    except BlockingIOError:
        return output
