from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOOK = (
    "import os, tests.services\n"
    "tests.services.DATA_DIR.rmdir()\n"
    "from introeval import settings\n"
    "print(settings.DATABASE_URL, settings.REDIS_URL)"
)


def test_the_tests_never_reach_for_a_developers_servers() -> None:
    theirs = {"DATABASE_URL": "postgres://developer/theirs", "REDIS_URL": "redis://developer/0"}
    env = {**os.environ, **theirs}
    run = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "developer" not in run.stdout
    assert "postgres" in run.stdout
