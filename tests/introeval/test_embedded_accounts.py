"""As whom the servers run, and what that account may reach."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from introeval import embedded
from introeval.embedded import launcher
from introeval.embedded.layout import Account, ServiceLayout
from tests.introeval.conftest import ROOT, Hold, as_user, ask, copied, environment, postmaster

pytestmark = pytest.mark.slow

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def user() -> Account:
    """An ordinary user: somebody else when the tests run as root, else oneself."""
    if not IS_ROOT:
        return Account(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


@pytest.fixture
def users_dir(open_dir: Path, user: Account) -> Path:
    folder = open_dir / "home"
    folder.mkdir()
    if IS_ROOT:
        os.chown(folder, *user.ids)
    return folder


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_an_ordinary_user_runs_the_servers_as_itself(users_dir: Path, user: Account, hold: Hold) -> None:
    data_dir = users_dir / "var"
    holder = hold(data_dir, account=user if IS_ROOT else None).entered()

    assert uid_of(postmaster(data_dir)) == user.uid
    assert data_dir.stat().st_uid == user.uid
    holder.leave()


def test_the_sockets_are_nobody_elses_business(data_dir: Path, hold: Hold) -> None:
    hold(data_dir).entered()
    facts = ServiceLayout(data_dir).sockets.stat()

    assert stat.S_IMODE(facts.st_mode) == 0o700
    assert facts.st_uid == uid_of(postmaster(data_dir))


def test_a_place_that_leads_elsewhere_is_refused(data_dir: Path, tmp_path: Path) -> None:
    sockets = ServiceLayout(data_dir).sockets
    if sockets.exists():
        shutil.rmtree(sockets)
    sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(embedded.EmbeddedError, match="nothing in it can be trusted"), embedded.services(data_dir):
            pass
    finally:
        sockets.unlink()


if IS_ROOT:

    def test_root_runs_the_servers_as_somebody_else(data_dir: Path, hold: Hold) -> None:
        hold(data_dir).entered()

        assert uid_of(postmaster(data_dir)) != 0

    def test_a_directory_closed_to_all_but_root_stays_closed_and_works(tmp_path: Path, hold: Hold) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)

        hold(closed / "var").entered()

        assert ask(closed / "var", "SELECT 1") == "1"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_the_servers_keep_no_right_of_roots_where_they_need_none(
        data_dir: Path, open_dir: Path, hold: Hold
    ) -> None:
        reachable = copied(data_dir, open_dir / "var")
        hold(reachable).entered()

        programs_too = ServiceLayout(reachable).account.may_enter(Path(sys.prefix).resolve() / "lib")
        assert (effective_capabilities(postmaster(reachable)) == 0) == programs_too

    def test_where_they_need_one_it_only_opens_directories(data_dir: Path, hold: Hold) -> None:
        hold(data_dir).entered()  # below pytest's own 0700 directory

        kept = effective_capabilities(postmaster(data_dir))
        assert kept in (1 << 1, 1 << 2)  # CAP_DAC_OVERRIDE or, where root has it, CAP_DAC_READ_SEARCH

    def test_a_program_below_a_closed_directory_is_there_when_it_is_looked_for(tmp_path: Path) -> None:
        """As initdb looks for `postgres` in a checkout below root's own home: by access(2), which heeds little."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        program = closed / "program"
        shutil.copy(shutil.which("true") or "", program)
        nobody = pwd.getpwnam("nobody")
        account = ["--uid", str(nobody.pw_uid), "--gid", str(nobody.pw_gid), "--search"]
        command = ["/bin/sh", "-c", f"test -x {program}"]
        run = subprocess.run([sys.executable, "-I", "-S", launcher.__file__, *account, "--", *command], check=False)
        assert run.returncode == 0

    def test_roots_help_in_a_users_directory_does_not_lock_the_user_out(
        users_dir: Path, user: Account, hold: Hold
    ) -> None:
        data_dir = users_dir / "var"
        data_dir.mkdir()
        os.chown(data_dir, *user.ids)
        hold(data_dir).entered().leave()

        hold(data_dir, account=user).entered()

        assert uid_of(postmaster(data_dir)) == user.uid

    def test_a_sockets_directory_of_somebody_else_is_refused(data_dir: Path) -> None:
        sockets = ServiceLayout(data_dir).sockets
        sockets.mkdir(parents=True, exist_ok=True)
        os.chown(sockets, 12345, 12345)
        try:
            with pytest.raises(embedded.EmbeddedError, match="uid 12345"), embedded.services(data_dir):
                pass
        finally:
            shutil.rmtree(sockets)

    def effective_capabilities(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)


def test_a_data_directory_that_may_not_be_written_to_is_told_in_words(open_dir: Path, user: Account) -> None:
    data_dir = open_dir / "var"
    data_dir.mkdir()
    data_dir.chmod(0o555)
    command = [sys.executable, "manage.py", "migrate"]
    done = subprocess.run(
        as_user(user, command) if IS_ROOT else command,
        cwd=ROOT,
        env=environment(DATA_DIR=str(data_dir)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "DATA_DIR can't be used" in done.stderr
    assert "chown" in done.stderr
    assert "Traceback" not in done.stderr
