"""Cold starts as somebody hostile would have them: every state of the cache, and every way to die.

    python benchmarks/cold_starts.py [--only WORD,WORD] [--strategies lagrangian,auto] [--warm FOLDER]

As root on Linux also what takes another user or a file system of its own (in a mount space of its own).
Each line is a case: its exit code, seconds, what came of it, and what is wrong with that, if anything is. A
solve must end with a verified plan; one without a time limit with the plan of a warm solve.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of a solve without a time limit, so that it ends by itself: the first plan within it.
GAP = ("--mip-rel-gap", "0.05")

#: What a cold solve without a time limit has in common with a warm one.
_COMPARED = ("objective", "bound", "assignments", "prices", "status")

#: A thread's solve, from Python.
_THREAD = """
import json, sys, threading
import bondwork
found = []
def work():
    found.append(bondwork.solve(bondwork.load(sys.argv[1]), strategy=sys.argv[2], mip_rel_gap=0.05))
thread = threading.Thread(target=work)
thread.start(); thread.join()
print(found[0].model_dump_json())
"""

#: As nobody; what else is to be so comes before.
_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@dataclass
class Bench:
    """A place to work in: a round, the plan of a warm solve, and a cache that is warm."""

    work: Path
    strategy: str
    warm: Path
    plan: dict[str, Any]
    faults: int = 0

    @property
    def round(self) -> Path:
        """The round that is solved."""
        return self.work / "round.json"

    def command(self, *options: str) -> list[str]:
        """A solve on the command line."""
        solve = ["solve", str(self.round), "--json", "--strategy", self.strategy]
        return [sys.executable, "-m", "bondwork", *solve, *(options or GAP)]

    def environment(self, cache: Path | None, **more: str) -> dict[str, str]:
        """Everything as it is, with another cache; ``more`` is set besides, or left out where it is empty."""
        made = {**os.environ, **({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}), **more}
        return {name: value for name, value in made.items() if value != ""}

    def fresh(self) -> Path:
        """An empty cache."""
        return Path(tempfile.mkdtemp(dir=self.work, prefix="cache-"))

    def copy(self) -> Path:
        """A warm cache to be damaged."""
        made = self.fresh()
        shutil.copytree(self.warm, made, dirs_exist_ok=True)
        return made

    def run(
        self,
        label: str,
        environment: dict[str, str],
        *options: str,
        command: list[str] | None = None,
        limit: float | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        """Run a solve to its end and judge it."""
        began = time.perf_counter()
        done = subprocess.run(
            [*before, *(command or self.command(*options))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.work,
        )
        self.judge(label, done.returncode, done.stdout, done.stderr, time.perf_counter() - began, limit)

    def judge(
        self, label: str, code: int | None, out: str, err: str, took: float, limit: float | None = None
    ) -> None:
        """Print what came of a solve."""
        try:
            plan = json.loads(out)
        except ValueError:
            self.say(label, code, took, "no plan", err.strip()[-300:] or "nothing was said")
            return
        wrong = [] if code == 0 and plan["verified"] else ["not verified, or exit code"]
        chosen, warm = ([each.get(name) for name in _COMPARED] for each in (plan, self.plan or plan))
        if limit is None and chosen != warm:
            wrong.append(f"another plan than warm: {chosen[:2]} for {warm[:2]}")
        told = [each for each in plan["provenance"]["notes"] if "compiled" in each or "greedy" in each]
        gap = "-" if plan["gap"] is None else f"{plan['gap']:.2%}"
        self.say(label, code, took, f"{plan['status']}, {gap} {'; '.join(told)}", "; ".join(wrong))

    def say(self, label: str, code: int | None, took: float, what: str, wrong: str = "") -> None:
        """Print a line."""
        self.faults += bool(wrong)
        print(f"{self.strategy:10} {label:44} exit {code} {took:6.1f} s  {what}", flush=True)
        if wrong:
            print(f"    WRONG: {wrong}", flush=True)


def _kept(cache: Path, ending: str = "kernel") -> list[Path]:
    return sorted(cache.rglob(f"*.{ending}"))


# -- where the cache may be --------------------------------------------------------------------------------


def no_home(bench: Bench) -> None:
    """Without HOME, and with one that is not there."""
    bench.run("no HOME", bench.environment(bench.fresh(), HOME="", XDG_CACHE_HOME=""))
    environment = bench.environment(bench.fresh(), HOME="/nowhere", XDG_CACHE_HOME="/proc/none")
    bench.run("HOME that is not there, 5 s", environment, "--time-limit", "5", limit=5)


def _elsewhere(bench: Bench, **more: str) -> dict[str, str]:
    """An environment in which only the folders of a user may hold a cache, all of them empty."""
    temporary = bench.fresh()
    temporary.chmod(0o1777)
    none = {"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": "", "TMPDIR": str(temporary)}
    return bench.environment(None, **{**none, **more})


def nobody(bench: Bench) -> None:
    """As a user without a home, with one that is closed, and with a cache of root's, closed or open."""
    closed = bench.fresh()
    closed.chmod(0o700)
    for label, environment in {
        "nobody, HOME of root": _elsewhere(bench, HOME="/root"),
        "nobody, no HOME": _elsewhere(bench, HOME=""),
        "nobody, HOME closed": _elsewhere(bench, HOME=str(closed)),
        "nobody, XDG_CACHE_HOME closed": _elsewhere(bench, HOME="", XDG_CACHE_HOME=str(closed)),
        "nobody, NUMBA_CACHE_DIR closed": bench.environment(closed, HOME=""),
    }.items():
        bench.run(label + ", 5 s", environment, "--time-limit", "5", limit=5, before=_AS_NOBODY)
    bench.run("nobody, cache closed, no limit", bench.environment(closed, HOME=""), before=_AS_NOBODY)
    opened = bench.copy()
    for each in (opened, *opened.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
    bench.run("nobody, cache of root's to read, no limit", bench.environment(opened), before=_AS_NOBODY)
    for each in _kept(opened)[:2]:
        each.chmod(0o000)
    bench.run("nobody, some of it closed, 5 s", bench.environment(opened), *("--time-limit", "5"), limit=5,
              before=_AS_NOBODY)  # fmt: skip
    _warmed(bench, _elsewhere(bench, HOME="/root"), _AS_NOBODY)


#: Closes every folder that could hold a cache, but for $C; the case's own lines come next.
_CLOSED = """
set -eu
closed() { [ ! -d "$1" ] || { mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; }; }
mount --make-rprivate /
for each in /tmp /var/tmp /usr/tmp /dev/shm "$P"; do closed "$each"; done
cd /proc
"""


def mounted(bench: Bench) -> None:
    """Disks that are full or read-only, and no folder for temporary files."""
    if os.geteuid() != 0:
        print("disks that are full, or read-only: only as root", flush=True)
        return
    small = 'mount -t tmpfs -o size={} none "$C"'
    opened = 'mount --bind "$C" "$C"; mount -o remount,rw,bind "$C"'
    package = Path(__file__).resolve().parents[1] / "optimizer" / "bondwork" / "__pycache__"
    for label, script, options in (
        ("disk full at once", small.format("4k"), ("--time-limit", "5")),
        ("disk full at once", small.format("4k"), GAP),
        ("disk full in the middle", small.format("700k"), ("--time-limit", "60", *GAP)),
        ("disk full in the middle", small.format("700k"), GAP),
        ("nothing can be written to", ":", ("--time-limit", "5")),
        ("nothing can be written to", ":", GAP),
        ("no folder for temporary files", opened, GAP),
    ):
        cache = bench.fresh()
        inside = f'{_CLOSED}{script}\nexec "$@"'
        environment = bench.environment(cache, HOME="/nowhere", C=str(cache), P=str(package))
        limit = float(options[1]) if options[0] == "--time-limit" else None
        shown = f"{label}, no limit" if limit is None else f"{label}, {limit:g} s"
        bench.run(
            shown, environment, *options, limit=limit, before=("unshare", "--mount", "sh", "-c", inside, "sh")
        )


# -- what may be in it -------------------------------------------------------------------------------------


def damaged(bench: Bench) -> None:
    """A cache that was cut off, overwritten, exchanged, closed, or whose list is wrong."""

    def cut(cache: Path) -> None:
        for each in _kept(cache):
            each.write_bytes(each.read_bytes()[:-100])

    def garbage(cache: Path) -> None:
        for each in (*_kept(cache), *_kept(cache, "list")):
            each.write_bytes(os.urandom(5000))

    def empty(cache: Path) -> None:
        for each in (*_kept(cache), *_kept(cache, "list")):
            each.write_bytes(b"")

    def exchanged(cache: Path) -> None:
        first, second = _kept(cache)[:2]
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)

    def half_gone(cache: Path) -> None:
        for each in _kept(cache)[::2]:
            each.unlink()

    def folders(cache: Path) -> None:
        for each in (*_kept(cache)[:2], *_kept(cache, "list")):
            each.unlink()
            each.mkdir()

    def links(cache: Path) -> None:
        for each in _kept(cache)[:3]:
            each.unlink()
            each.symlink_to(each)

    def short_list(cache: Path) -> None:
        """A list, whole by its digest, that has one kernel of all."""
        import hashlib

        head = len(b"bondwork-kernel/1\n") + 32
        for each in _kept(cache, "list"):
            data = each.read_bytes()
            files = json.loads(data[head + 32 :])
            content = json.dumps(dict(list(files.items())[:1])).encode()
            each.write_bytes(data[:head] + hashlib.sha256(content).digest() + content)
        for kernel in _kept(cache)[2:]:
            kernel.unlink()

    def hollow(cache: Path) -> None:
        """Kernels, and a list of them, whole by their digests, with nothing inside that could be loaded."""
        import hashlib

        head, named = len(b"bondwork-kernel/1\n") + 32, {}
        for each in _kept(cache):
            content = b"no code"
            each.write_bytes(each.read_bytes()[:head] + hashlib.sha256(content).digest() + content)
            named[each.name] = [hashlib.sha256(each.read_bytes()).hexdigest()]
        for each in _kept(cache, "list"):
            data = each.read_bytes()
            files = json.loads(data[head + 32 :])
            content = json.dumps({name: named.get(name, files[name]) for name in files}).encode()
            each.write_bytes(data[:head] + hashlib.sha256(content).digest() + content)

    for damage in (cut, garbage, empty, exchanged, half_gone, folders, links, short_list, hollow):
        cache = bench.copy()
        damage(cache)
        name = damage.__name__.replace("_", " ")
        bench.run(f"damaged: {name}, 5 s", bench.environment(cache), "--time-limit", "5", limit=5)
        if damage in (garbage, half_gone, hollow):
            cache = bench.copy()
            damage(cache)
            bench.run(f"damaged: {name}, no limit", bench.environment(cache))


# -- who may die, and when ---------------------------------------------------------------------------------


def _processes(word: str) -> list[int]:
    """Processes whose command line holds a word."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            line = (each / "cmdline").read_bytes().decode(errors="replace")
            state = (each / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word in line and state != "Z":
            found.append(int(each.name))
    return found


def _children(parent: int) -> list[int]:
    """Compile processes of a process."""
    return [
        each
        for each in _processes("bondwork.base.compiling_worker")
        if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[1] == str(parent)
    ]


def _until(true: Callable[[], Any], seconds: float = 120.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(0.02)
    return found


def _begun(command: list[str], environment: dict[str, str], cache: Path) -> subprocess.Popen[str]:
    """A process that has begun to compile: its first kernel is kept."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _until(lambda: _kept(cache) or process.poll() is not None)
    return process


def killed(bench: Bench) -> None:
    """The compile process, or the one that began it, dies in the middle."""
    for label, options, limit in (
        ("compile process killed, no limit", GAP, None),
        ("compile process killed, 15 s", ("--time-limit", "15"), 15.0),
    ):
        cache, began = bench.fresh(), time.perf_counter()
        process = _begun(bench.command(*options), bench.environment(cache), cache)
        for each in _children(process.pid):
            os.kill(each, signal.SIGKILL)
        out, err = process.communicate()
        bench.judge(label, process.returncode, out, err, time.perf_counter() - began, limit)
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        cache = bench.fresh()
        process = _begun(bench.command(), bench.environment(cache), cache)
        children, began = _children(process.pid), time.perf_counter()
        process.send_signal(how)
        process.communicate()
        while any(Path(f"/proc/{each}").exists() for each in children):
            if time.perf_counter() - began > 10.0:
                break
            time.sleep(0.02)
        took = time.perf_counter() - began
        wrong = "" if children and took < 10.0 else f"left behind, of {children}"
        bench.say(f"parent ended by {how.name} while compiling", process.returncode, took, "all gone", wrong)
    kept = len(_kept(cache))
    bench.run(f"the next one goes on from {kept} kernels, no limit", bench.environment(cache))


def together(bench: Bench) -> None:
    """Two cold solves, and two warm-ups, at once; a warm-up that is interrupted, and one again."""
    warm = [sys.executable, "-m", "bondwork", "warm-up"]
    for label, command in (("cold solves", bench.command()), ("warm-ups", [*warm, "lagrangian"])):
        cache, began = bench.fresh(), time.perf_counter()
        environment = bench.environment(cache)
        both = [_begun(command, environment, cache) for _ in range(2)]
        for each in both:
            out, err = each.communicate()
            took = time.perf_counter() - began
            if label == "cold solves":
                bench.judge(f"two {label} at once", each.returncode, out, err, took)
            else:
                wrong = "" if each.returncode == 0 else err[-300:]
                bench.say(f"two {label} at once", each.returncode, took, " ".join(out.split())[:60], wrong)
    _warmed(bench, environment)
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        cache = bench.fresh()
        process = _begun([*warm, "lagrangian"], bench.environment(cache), cache)
        process.send_signal(how)
        began = time.perf_counter()
        _, err = process.communicate()
        took, kept = time.perf_counter() - began, len(_kept(cache))
        wrong = err[-300:] if "Traceback" in err else ""
        bench.say(f"warm-up ended by {how.name}", process.returncode, took, f"{kept} kept", wrong)
    bench.run("a solve after that, no limit", bench.environment(cache))


def _warmed(bench: Bench, environment: dict[str, str], before: tuple[str, ...] = ()) -> None:
    began = time.perf_counter()
    done = subprocess.run(
        [*before, sys.executable, "-m", "bondwork", "warm-up", "lagrangian"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = "" if done.returncode == 0 and "Traceback" not in done.stderr else done.stderr[-300:]
    bench.say("warm-up", done.returncode, time.perf_counter() - began, done.stdout.strip()[-120:], wrong)


# -- limits, threads, and the rest -------------------------------------------------------------------------


def limits(bench: Bench) -> None:
    """Time limits of all sizes, absurd threads, from a thread, without bytecode."""
    for limit in (0, 0.1, 1, 5, 60):
        options = ("--time-limit", str(limit), *(GAP if limit == 60 else ()))
        bench.run(f"cold, {limit} s", bench.environment(bench.fresh()), *options, limit=limit)
    for threads in ("1", "63", "999999"):
        options = ("--threads", threads, "--time-limit", "5")
        bench.run(f"cold, threads {threads}, 5 s", bench.environment(bench.fresh()), *options, limit=5)
    call = [sys.executable, "-c", _THREAD, str(bench.round), bench.strategy]
    bench.run("cold, from Python in a thread", bench.environment(bench.fresh()), command=call)
    quiet = bench.environment(bench.fresh(), PYTHONDONTWRITEBYTECODE="1")
    bench.run("cold, no bytecode", quiet)


CASES = {each.__name__: each for each in (limits, damaged, no_home, nobody, mounted, killed, together)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--strategies", default="lagrangian,auto")
    parser.add_argument("--warm", default="", help="folder of a cache that is warm, or is made so")
    chosen = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        work = Path(folder)
        work.chmod(0o755)
        generate = ["generate", "--tasks", "400", "--coprocessors", "20", "--offers", "8", "--seed", "1"]
        bondwork = [sys.executable, "-m", "bondwork"]
        subprocess.run([*bondwork, *generate, "-o", str(work / "round.json")], check=True)
        (work / "round.json").chmod(0o644)
        warm = Path(chosen.warm or work / "warm")
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(warm)}
        subprocess.run([*bondwork, "warm-up"], env=environment, check=True, stdout=subprocess.DEVNULL)
        for strategy in chosen.strategies.split(","):
            bench = Bench(work, strategy, warm, {})
            done = subprocess.run(
                bench.command(), env=environment, capture_output=True, text=True, check=True
            )
            bench.plan = json.loads(done.stdout)
            bench.judge("warm", 0, done.stdout, "", 0.0)
            for name in chosen.only.split(","):
                CASES[name](bench)
            faults += bench.faults
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
