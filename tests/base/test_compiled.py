"""Compiled code is there, is made, or is made again: no state of its cache stops anybody."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest

from bondwork.base import compiled, kernel_files
from bondwork.base.compiled import KernelSet, NotKept, kernel


def double(x):
    return 2.0 * x


def quadruple(x):
    return _double(_double(x))


_double = kernel(double)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Return a fresh cache's folder."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return kernel_files.cache_folders()[0]


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def kept(folder):
    return sorted(folder.glob("*.kernel"))


def test_a_kernel_is_compiled_once_and_read_ever_after(folder):
    first, second = kernel(double), kernel(double)
    assert first(3.0) == 6.0
    assert hits(first) == 0
    assert len(kept(folder)) == 1
    assert second(3.0) == 6.0
    assert hits(second) == 1
    assert second(3) == 6.0  # another type is another file
    assert len(kept(folder)) == 2
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: bytes(20),
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[: len(data) // 2] + b"\0" * 64 + data[len(data) // 2 + 64 :],
        lambda data: b"x" + data,
        lambda data: data[:10] + bytes(40) + data[50:],
    ],
)
def test_a_damaged_file_is_made_again(folder, damage):
    assert kernel(double)(3.0) == 6.0
    (file,) = kept(folder)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = kernel(double)
    assert again(3.0) == 6.0
    assert hits(again) == 0
    after = kernel(double)
    assert after(3.0) == 6.0
    assert hits(after) == 1


def test_a_folder_in_place_of_a_file_stops_nobody(folder):
    assert kernel(double)(3.0) == 6.0
    (file,) = kept(folder)
    file.unlink()
    file.mkdir()
    assert kernel(double)(3.0) == 6.0


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder):
    assert kernel(double)(3.0) == 6.0
    (file,) = kept(folder)
    stamp, digests = compiled._stamp(double), kernel_files.digest_of(file.name)
    assert kernel_files.read_entry(file.name, stamp) is not None
    file.unlink()
    os.mkfifo(file)
    assert kernel_files.read_entry(file.name, stamp) is None
    assert not kernel_files.is_entry(file.name, digests)


def test_an_unreadable_pickle_with_a_right_digest_is_made_again(folder):
    assert kernel(double)(3.0) == 6.0
    (file,) = kept(folder)
    assert kernel_files.write_entry(file.name, compiled._stamp(double), b"no pickle")
    again = kernel(double)
    assert again(3.0) == 6.0
    assert hits(again) == 0


def test_a_kernel_depends_on_the_constants_and_kernels_that_it_uses(monkeypatch):
    before = compiled._stamp(quadruple)
    assert before == compiled._stamp(quadruple)
    monkeypatch.setitem(globals(), "_double", kernel(quadruple))
    assert compiled._stamp(quadruple) != before
    monkeypatch.setitem(globals(), "_double", 4)
    four = compiled._stamp(quadruple)
    monkeypatch.setitem(globals(), "_double", 5)
    assert compiled._stamp(quadruple) != four


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(kernel_files, "cache_folders", lambda: [tmp_path / "file" / "cache"])
    with pytest.raises(kernel_files.Unwritable):
        kernel_files.writable_folder()
    assert kernel(double)(3.0) == 6.0
    nowhere = KernelSet("nowhere", "nowhere:load")
    assert not nowhere.begin()
    assert "written" in nowhere.why_not
    assert not nowhere.ready()


def test_the_next_folder_serves_where_the_first_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    folders = [tmp_path / "file" / "cache", tmp_path / "other"]
    monkeypatch.setattr(kernel_files, "cache_folders", lambda: folders)
    monkeypatch.setattr(kernel_files, "_PACKAGE", tmp_path)
    assert kernel(double)(3.0) == 6.0
    assert len(kept(folders[1])) == 1


def test_a_full_disk_is_no_folder_to_write_to(folder, monkeypatch):
    resource = pytest.importorskip("resource")
    nowhere = KernelSet("nowhere", "nowhere:load")
    monkeypatch.setattr(kernel_files, "cache_folders", lambda: [folder])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert not nowhere.begin()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "written" in nowhere.why_not
    assert list(folder.glob("*.tmp")) == []


def test_what_lies_in_a_read_only_folder_is_read(monkeypatch, tmp_path, folder):
    """An image is built by root, and run by somebody who may write nothing."""
    assert kernel(double)(3.0) == 6.0
    monkeypatch.setattr(kernel_files, "writable_folder", lambda: tmp_path / "none")
    again = kernel(double)
    assert again(3.0) == 6.0
    assert hits(again) == 1


def test_no_home_and_a_user_nobody_knows_are_no_errors(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert kernel_files.cache_folders()
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.undo()
    assert kernel_files.cache_folders()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path, mode):
    own = tmp_path / "bondwork-0"
    assert kernel_files._is_private(own / "kernels")
    own.mkdir(mode=0o700)
    assert kernel_files._is_private(own / "kernels")
    own.chmod(mode)
    assert not kernel_files._is_private(own / "kernels")


def test_a_link_in_place_of_a_private_folder_is_not_trusted(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not kernel_files._is_private(tmp_path / "link" / "kernels")


def test_a_private_folder_is_made_for_its_user_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_files, "cache_folders", lambda: [tmp_path / "own" / "kernels"])
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    made = kernel_files.writable_folder()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


# --- sets, and the process that compiles them ----------------------------------------------------------


@pytest.fixture
def tiny(folder, monkeypatch, tmp_path):
    """Return a package of two kernels; what is really compiled is noted in a file."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").write_text("")
    (tmp_path / "tiny" / "kernels.py").write_text(
        textwrap.dedent(
            """
            from bondwork.base.compiled import kernel

            @kernel
            def one(x):
                return x + 1.0

            @kernel
            def two(x):
                return one(x) + 1.0
            """
        )
    )
    (tmp_path / "tiny" / "loading.py").write_text(
        textwrap.dedent(
            f"""
            import os, time
            from pathlib import Path

            def load(tell):
                from tiny.kernels import one, two
                assert one(1.0) == 2.0
                time.sleep(float(os.environ.get("TINY_SLEEP", "0")))
                assert two(1.0) == 3.0
                missed = sum(sum(each.stats.cache_misses.values()) for each in (one, two))
                with Path({str(tmp_path / "missed")!r}).open("a") as file:
                    file.write(f"{{os.getpid()}} {{missed}}\\n")
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield KernelSet("tiny", "tiny.loading:load")
    for name in ("tiny", "tiny.kernels", "tiny.loading"):
        sys.modules.pop(name, None)


def wait_for(true, seconds=60.0):
    """Wait until something is so; generous, because machines may be busy."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)


def test_a_set_is_compiled_by_another_process(tiny, tmp_path):
    assert not tiny.ready()
    assert tiny.wait()
    assert tiny.loaded
    missed = dict(line.split() for line in (tmp_path / "missed").read_text().splitlines())
    assert missed.pop(str(os.getpid())) == "0"  # this process has compiled nothing
    assert list(missed.values()) == ["2"]


def test_a_set_is_not_ready_where_a_file_of_it_is_damaged(tiny, folder):
    assert tiny.wait()
    fresh = KernelSet(tiny.name, tiny.loader)
    assert fresh.ready()
    file = kept(folder)[0]
    file.write_bytes(file.read_bytes()[:-1])
    assert not KernelSet(tiny.name, tiny.loader).ready()
    file.unlink()
    assert not KernelSet(tiny.name, tiny.loader).ready()


def test_a_damaged_list_is_written_again(tiny, folder):
    assert tiny.wait()
    (listed,) = folder.glob("*.list")
    listed.write_bytes(b"")
    again = KernelSet(tiny.name, tiny.loader)
    assert not again.ready()
    again.load()
    assert again.ready()


def test_processes_that_start_at_once_compile_once(tiny, tmp_path, folder):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from bondwork.base.compiled import KernelSet;"
        "assert KernelSet('tiny', 'tiny.loading:load').wait()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "TINY_SLEEP": "1"})
        for _ in range(3)
    ]
    assert [each.wait(timeout=120) for each in started] == [0, 0, 0]
    missed = [int(line.split()[1]) for line in (tmp_path / "missed").read_text().splitlines()]
    assert sum(missed) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_process_that_compiles_ends_with_the_one_that_began_it(tiny, tmp_path, folder, how):
    code = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from bondwork.base.compiled import KernelSet
        tiny = KernelSet("tiny", "tiny.loading:load")
        assert tiny.begin()
        print(tiny._process._process.pid, flush=True)
        sys.stdin.read()
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "TINY_SLEEP": "600"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    wait_for(lambda: len(kept(folder)) == 1)  # the first kernel is kept before the second is begun
    if how is None:
        parent.stdin.close()
    else:
        parent.send_signal(how)
    parent.wait(timeout=60)
    parent.stdin.close()
    wait_for(lambda: not Path(f"/proc/{child}").exists() or ended(child), 20.0)
    assert len(kept(folder)) == 1
    parent.stdout.close()


def ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    stated = Path(f"/proc/{process}/stat")
    return stated.exists() and stated.read_text().rpartition(")")[2].split()[0] == "Z"


def forget(tiny):
    """Return the set as another process has it, with nothing loaded."""
    for name in ("tiny", "tiny.kernels", "tiny.loading"):
        sys.modules.pop(name, None)
    return KernelSet(tiny.name, tiny.loader)


def test_a_list_that_names_too_few_is_found_out_and_mended(tiny, folder, monkeypatch):
    assert tiny.wait()
    names = sorted(each.name for each in kept(folder))
    named = json.dumps({names[0]: kernel_files.digest_of(names[0])}).encode()
    assert kernel_files.write_entry(tiny._list_name(), tiny._sources(), named)
    (folder / names[1]).unlink()
    again = forget(tiny)
    assert again.ready()
    with pytest.raises(NotKept, match="tiny"):
        again.load(compiling=False)
    assert not again.ready()
    assert not again.loaded
    assert again.begin()
    wait_for(again.ready)
    again.load(compiling=False)
    assert again.loaded
    assert sorted(each.name for each in kept(folder)) == names


def test_a_process_that_is_killed_is_started_again_a_few_times(tiny, tmp_path, folder, monkeypatch):
    monkeypatch.setenv("TINY_SLEEP", "600")
    monkeypatch.setattr(compiled, "_MOST_RESTARTS", 2)  # each start imports numba
    for number in range(1 + compiled._MOST_RESTARTS):
        assert tiny.begin()
        wait_for(lambda: len(kept(folder)) == 1)
        process = tiny._process._process
        process.kill()
        process.wait()
        assert tiny._restarts == number
    assert not tiny.begin()
    assert "-9" in tiny.why_not
    again = forget(tiny)
    assert again.begin()
    again._process._process.kill()
    again._process._process.wait()
    monkeypatch.setenv("TINY_SLEEP", "0")
    assert again.wait()
    missed = [line.split() for line in (tmp_path / "missed").read_text().splitlines()]
    assert [count for process, count in missed if process == str(os.getpid())] == ["0"]
    assert sum(int(count) for _, count in missed) == 1  # the other kernel was kept before


def test_a_folder_that_is_closed_holds_nothing(monkeypatch, tmp_path):
    """``HOME=/root`` of somebody else: warm-up ended with an error after all was compiled."""

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "name").write_text("")
    assert kernel_files.holds(tmp_path, "name")
    monkeypatch.setattr(Path, "is_file", closed)
    assert not kernel_files.holds(tmp_path, "name")


def test_the_working_directory_is_no_folder_for_temporary_files_unless_it_is_named_so(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kernel_files.tempfile, "gettempdir", lambda: str(tmp_path))
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert tmp_path not in kernel_files._temporary_folders()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert tmp_path in kernel_files._temporary_folders()


def test_a_set_that_cannot_be_compiled_elsewhere_is_compiled_here(tiny, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert not tiny.begin()
    assert "no process" in tiny.why_not
    assert tiny.wait()


def test_a_forked_process_waits_for_nobody_and_leaves_its_parents_process_alone(tiny, monkeypatch):
    """Forked while its parent loads kernels and has some compiled."""
    monkeypatch.setitem(compiled.KERNEL_SETS, tiny.name, tiny)
    monkeypatch.setenv("TINY_SLEEP", "600")
    assert tiny.begin()
    child = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside a thread, from 3.12 on
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with compiled._loading, tiny._beginning:
                holding.set()
                done.wait(60.0)

        threading.Thread(target=hold, daemon=True).start()
        holding.wait(60.0)
        child = os.fork()
        if child == 0:
            free = compiled._loading.acquire(timeout=5.0) and tiny._beginning.acquire(timeout=5.0)
            os._exit(0 if free and tiny._process is None else 1)
        done.set()
    assert os.waitpid(child, 0)[1] == 0
    assert tiny._process.running
    tiny._process.end()


def test_waiting_ends_when_asked(tiny, monkeypatch):
    monkeypatch.setenv("TINY_SLEEP", "600")
    asked = []
    assert not tiny.wait(lambda: asked.append(1) or len(asked) > 3)
    tiny._process.end()


def test_every_set_covers_every_kernel_that_its_package_calls():
    """What a loader does not call would be compiled in the middle of a solve."""
    compiled.KERNEL_SETS["simulation"].load()
    from bondwork.simulation import kernels

    for name in ("choose_operators", "choose_distinct", "hold_clock", "settle"):
        assert len(getattr(kernels, name).signatures) == 1, name
