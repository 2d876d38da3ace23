"""Which time zone the machine's clock shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from introeval.environment import machine_zone


@pytest.mark.parametrize(
    ("tz", "link", "file", "zone"),
    [
        ("", "/usr/share/zoneinfo/Europe/Berlin", "", "Europe/Berlin"),
        ("", "../usr/share/zoneinfo/Asia/Kolkata", "Europe/Berlin\n", "Asia/Kolkata"),
        ("", "", "America/Argentina/Buenos_Aires\n", "America/Argentina/Buenos_Aires"),
        (":Europe/Lisbon", "/usr/share/zoneinfo/Europe/Berlin", "", "Europe/Lisbon"),
        ("CET-1CEST", "/usr/share/zoneinfo/Europe/Berlin", "", "Europe/Berlin"),
        ("", "/elsewhere/localtime", "neither here\n", "UTC"),
        ("", "", "", "UTC"),
    ],
)
def test_the_machines_own_zone_is_the_default(
    tz: str, link: str, file: str, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", tz)
    if link:
        (tmp_path / "localtime").symlink_to(link)
    if file:
        (tmp_path / "timezone").write_text(file)
    assert machine_zone(tmp_path) == zone
