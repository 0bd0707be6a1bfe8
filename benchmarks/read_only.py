"""The wheel in a read-only folder, run by a user without a home, as in a container: solves of 3,200 offers.

    sudo python benchmarks/read_only.py [FOLDER]      as root on Linux: it mounts, and changes the user

Builds the wheel, installs it into an environment of its own (FOLDER/venv is used again where it is there),
and solves a round as nobody with all file systems read-only: with a folder for temporary files that can be
written to, with none, after ``bondwork warm-up`` as a step of installing, and with what that kept damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

#: Makes everything read-only in a mount space of its own; the first argument says whether /dev/shm stays.
_READ_ONLY = """
set -eu
mount --make-rprivate /
for each in / /tmp /var/tmp "$2"; do
    mount --bind "$each" "$each" && mount -o remount,ro,bind "$each"
done
if [ "$1" = writable ]; then mount -t tmpfs -o mode=1777 none /dev/shm; else
    mount --bind /dev/shm /dev/shm && mount -o remount,ro,bind /dev/shm
fi
shift 2
cd /
exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i PATH=/usr/bin:/bin OMP_NUM_THREADS=1 "$@"
"""


def install(work: Path) -> Path:
    """Build the wheel and install it; returns the command."""
    command = work / "venv" / "bin" / "bondwork"
    if not command.exists():
        # one that other users can run: those of pyenv and uv are often in a home that is closed to them
        python = os.environ.get("PYTHON", "/usr/bin/python3")
        subprocess.run([python, "-m", "venv", work / "venv"], check=True)
        pip = [work / "venv" / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", work / "wheel", HERE], check=True)
        subprocess.run([*pip, "install", *(work / "wheel").glob("*.whl")], check=True)
    return command


def solve(work: Path, command: Path, label: str, writable: bool, *options: str) -> bool:
    """Solve as nobody and print what came of it; says whether there is a verified plan."""
    inner = [command, "solve", work / "round.json", "--json", *options]
    kind = "writable" if writable else "nothing"
    began = time.perf_counter()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", kind, work, *inner],
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    try:
        plan = json.loads(done.stdout)
    except ValueError:
        print(f"{label:56} exit {done.returncode} {took:6.1f} s  {done.stderr.strip()[-300:]}", flush=True)
        return False
    gap = "" if plan["gap"] is None else f", gap {plan['gap']:.2%}"
    print(f"{label:56} exit {done.returncode} {took:6.1f} s  {plan['status']}{gap}", flush=True)
    for note in plan["provenance"]["notes"]:
        print(f"    {note}", flush=True)
    return done.returncode == 0 and plan["verified"]


def main() -> int:
    work = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    work.mkdir(exist_ok=True)
    work.chmod(0o755)
    command = install(work)
    generate = ["generate", "--tasks", "400", "--coprocessors", "20", "--offers", "8", "--seed", "1"]
    subprocess.run([command, *generate, "-o", work / "round.json"], check=True)
    (work / "round.json").chmod(0o644)
    kept = next((work / "venv").glob("lib/python3*/site-packages/bondwork/__pycache__"), None)
    if kept is not None:
        shutil.rmtree(kept / "kernels", ignore_errors=True)
    limit = ("--time-limit", "10")
    good = [
        solve(work, command, "not warmed up, temporary files, 10 s", True, *limit),
        solve(work, command, "not warmed up, temporary files, gap 0.05", True, "--mip-rel-gap", "0.05"),
        solve(work, command, "not warmed up, nothing can be written to, 10 s", False, *limit),
    ]
    subprocess.run([command, "warm-up", "lagrangian"], check=True, stderr=subprocess.DEVNULL)
    good.append(solve(work, command, "warmed up, nothing can be written to, 10 s", False, *limit))
    for file in work.glob("venv/lib/python3*/site-packages/bondwork/__pycache__/kernels/*.kernel"):
        file.write_bytes(file.read_bytes()[:-100])
    good.append(solve(work, command, "warmed up, then damaged, 10 s", False, *limit))
    print("all good" if all(good) else "NOT GOOD")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
