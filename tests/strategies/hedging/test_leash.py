"""Nothing is left of a run, whoever of it is killed and by whatever signal: no process, no folder."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bondwork.problem.faults import Refusal
from bondwork.strategies.hedging import leash, running
from bondwork.strategies.hedging.leash import FOLDER, OWNERS, is_alive, is_gone, name_of
from bondwork.strategies.hedging.scratch import OWNER, PREFIX, remove_abandoned, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]

#: Seconds after which nothing may be left.
SOON = 10.0


class Asked:
    """A run that stands: who is in it, and what it has."""

    def __init__(self, told: Path, **environment: str) -> None:
        self.told = told
        path = os.pathsep.join([str(TESTS), *sys.path])
        temporary = told / "tmp"
        temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "asking.py"), str(told)],
            env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(temporary)} | environment,
        )
        deadline = time.monotonic() + 60.0
        while not (told / "who.json").exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        found = json.loads((told / "who.json").read_text())
        self.folder, self.who = Path(found["folder"]), found["who"]
        self.ranks = [number for name, number in self.who.items() if name.startswith("rank")]

    def kill(self, names: tuple[str, ...], sent: int = signal.SIGKILL) -> None:
        for name in names:
            os.kill(self.who[name], sent)
        if "asking" in names:
            self.process.wait(SOON)

    def left(self) -> list[str]:
        """Who is still there of those that the launcher began, the guard included."""
        others = {name: number for name, number in self.who.items() if name not in ("asking", "sibling")}
        return [name for name, number in others.items() if is_alive(number)]

    def wait_until_gone(self) -> list[str]:
        deadline = time.monotonic() + SOON
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def clean_up(self) -> None:
        for number in self.who.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait(SOON)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    run = Asked(tmp_path)
    yield run
    run.clean_up()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_whoever_asked_is_killed(asked: Asked, sent: int):
    asked.kill(("asking",), sent)
    assert asked.wait_until_gone() == []
    assert not asked.folder.exists()


@pytest.mark.parametrize(
    "names",
    [
        ("guard",),
        ("launcher",),
        ("proxy",),
        ("guard", "launcher", "proxy"),
    ],
    ids="+".join,
)
def test_somebody_between_is_killed(asked: Asked, names: tuple[str, ...]):
    asked.kill(names)
    assert asked.wait_until_gone() == []
    # whoever asked goes on, and cleans up
    assert asked.process.wait(SOON) == 0
    assert (asked.told / "ended").exists()
    assert not asked.folder.exists()


@pytest.mark.parametrize(
    "names",
    [("guard", "asking"), ("asking", "guard", "launcher")],
    ids="+".join,
)
def test_those_who_would_clean_up_are_killed(asked: Asked, names: tuple[str, ...]):
    asked.kill(names)
    assert asked.wait_until_gone() == []
    deadline = time.monotonic() + SOON
    while asked.folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not asked.folder.exists()


def test_another_child_holds_the_pipe_open(tmp_path: Path):
    run = Asked(tmp_path, HOLDS_THE_PIPE="yes")
    try:
        run.kill(("asking",))
        assert run.wait_until_gone() == []
        assert is_alive(run.who["sibling"])
        assert not run.folder.exists()
    finally:
        run.clean_up()


def test_the_next_start_removes_what_nobody_could(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    """Everything at once: the power of a container cut off."""
    for number in asked.who.values():
        os.kill(number, signal.SIGSTOP)  # nobody looks any more
    for number in [*asked.ranks, *(asked.who[name] for name in ("proxy", "launcher", "guard", "asking"))]:
        os.kill(number, signal.SIGKILL)
    asked.process.wait(SOON)
    assert asked.wait_until_gone() == []
    assert asked.folder.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(asked.folder.parent))
    with scratch_folder() as folder:
        assert not asked.folder.exists()
        assert folder.parent == asked.folder.parent
        remove_abandoned()
        assert folder.exists()  # its maker lives
    assert not folder.exists()


def test_folders_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    gone = name_of(ended.pid)
    ended.wait()
    elsewhere = "another-machine" + gone[gone.index("|") :]
    contents = {"mine": name_of(os.getpid()), "elsewhere": elsewhere, "nonsense": "x|y", "gone": gone}
    for name, text in contents.items():
        (tmp_path / f"{PREFIX}{name}").mkdir()
        (tmp_path / f"{PREFIX}{name}" / OWNER).write_text(text)
    (tmp_path / f"{PREFIX}unnamed").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / f"{PREFIX}gone")
    remove_abandoned()
    left = {path.name.removeprefix(PREFIX) for path in tmp_path.iterdir()}
    assert left == {"mine", "elsewhere", "nonsense", "unnamed", "link"}


def test_a_number_that_is_used_again_is_another_process():
    me = name_of(os.getpid())
    assert not is_gone(me)
    machine, number, born = me.split("|")
    if born:
        assert is_gone(f"{machine}|{number}|{int(born) - 1}")
    assert not is_gone(f"elsewhere|{number}|1")
    assert not is_gone("")


def test_a_rank_without_owners_is_on_its_own():
    code = "from bondwork.strategies.hedging.leash import tie_to_owners; import threading; tie_to_owners(); print(threading.active_count())"  # noqa: E501
    environment = {name: value for name, value in os.environ.items() if name not in (OWNERS, FOLDER)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout.split() == [b"1"]


# the network


def listening(process: int) -> set[str]:
    """Return the addresses on which a process waits for connections, in Linux's notation."""
    waiting = {}
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                waiting[f"socket:[{fields[9]}]"] = fields[1]
    found = set()
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            found |= {waiting[str(path.readlink())]} if str(path.readlink()) in waiting else set()
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="who listens is read from Linux's /proc")
def test_the_launcher_opens_no_port(tmp_path: Path):
    launcher = running.check_installed("auto")
    assert Path(launcher).name == running.LOCAL_LAUNCHER
    environment = running.environment_of("auto", tmp_path)
    command = [launcher, "-n", "2", sys.executable, "-c", "import time; time.sleep(60)"]
    from bondwork.strategies.hedging.guard import descendants

    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + SOON
            while len(ranks := descendants(process.pid)) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert len(ranks) == 2
            assert [listening(each) for each in (process.pid, *ranks)] == [set()] * 3
        finally:
            process.terminate()


def test_loopback_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = ("HYDRA_IFACE", "UCX_NET_DEVICES", "FI_TCP_IFACE", "FI_SOCKETS_IFACE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    ours: dict[str, Any] = running.environment_of("auto", tmp_path)
    assert {ours[name] for name in names} <= {"lo", "lo0"}
    assert not set(names) & set(running.environment_of("mpiexec", tmp_path))
    monkeypatch.setenv("UCX_NET_DEVICES", "eth7")
    assert running.environment_of("auto", tmp_path)["UCX_NET_DEVICES"] == "eth7"


def test_without_shared_memory_hedging_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "SHARED_MEMORY", tmp_path)
    running.check_shared_memory()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Refusal, match="needs shared memory"):
        running.check_shared_memory()


#: What a rank does that matters here: it maps a file that MPI would make, says so, and goes on.
_RANK = """
import mmap, pathlib, sys, time
path = pathlib.Path(sys.argv[1])
path.write_bytes(bytes(4096))
file = path.open("r+b")
shared = mmap.mmap(file.fileno(), 4096)
pathlib.Path(sys.argv[2]).touch()
time.sleep(120)
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells who maps what")
def test_shared_memory_of_killed_ranks_is_removed(tmp_path):
    if not os.access(leash.SHARED_MEMORY, os.W_OK):
        pytest.skip("no shared memory")
    segment = leash.SHARED_MEMORY / f"mpich_shm_test_{os.getpid()}_0"
    ready = tmp_path / "ready"
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_RANK!r}, *sys.argv[1:]])"
    command = [sys.executable, "-m", "bondwork.strategies.hedging.guard"]
    command += [sys.executable, "-c", launcher, str(segment), str(ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
        deadline = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert segment.exists()
        guard.stdin.close()
        guard.wait(60)
    assert not segment.exists()


def test_other_shared_memory_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(leash, "SHARED_MEMORY", tmp_path)
    kept, ours = tmp_path / "somebody's", tmp_path / "mpich_shm_1_0"
    with contextlib.ExitStack() as stack:
        for each in (kept, ours):
            each.write_bytes(bytes(4096))
            file = stack.enter_context(each.open("r+b"))
            stack.enter_context(mmap.mmap(file.fileno(), 4096))
        found = leash.segments_of(os.getpid())
    assert found == ({ours} if Path("/proc/self/maps").exists() else set())
    leash.remove_segments([*found, tmp_path / "not there"])
    assert kept.exists()
