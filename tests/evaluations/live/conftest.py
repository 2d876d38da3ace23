from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from evaluations.live.broker import broker


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path


@pytest.fixture(autouse=True)
def broker_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test inherits another one's broken broker."""
    monkeypatch.setattr(broker, "quiet_until", 0.0)
