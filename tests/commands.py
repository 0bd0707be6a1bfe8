"""The command as people and programs use it: in the process of the tests, or in one of its own.

A process of its own takes a second of a core, most of it importing. It is needed where the process is what a
test is about: its environment, its streams, signals. Several of the same environment share the importing:
they are forked from one that has begun.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import typer.main

from bondwork import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How Python finds the command in every environment that a test makes up.
COMMAND = [sys.executable, "-m", "bondwork"]


@functools.cache
def command() -> typer.core.TyperGroup:
    """Make the command that ``cli.app()`` makes and calls: thousands of times the same."""
    return typer.main.get_command(cli.app)


def bond(
    *arguments: object, data: bytes | str = b"", together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, with streams that are no terminal; both may be ``together``."""
    given = data.encode() if isinstance(data, str) else data
    stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in "oe")
    err = out if together else err
    line = ["bondwork", *map(str, arguments)]
    code: int | str | None = 0
    with (
        mock.patch.object(sys, "argv", line),
        mock.patch.object(sys, "stdin", stdin),
        mock.patch.object(cli, "app", command()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    assert isinstance(code, int)
    return subprocess.CompletedProcess(line, code, *texts)


def bond_in_a_process(
    *arguments: object, data: bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=data,
        capture_output=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=600,  # machines may be busy
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


#: Forks for each command, with files as its streams, and prints how each ended, and after how many seconds.
FORKING = """
import json, os, sys, time
import bondwork.cli, bondwork.solving, bondwork.problem.reading, bondwork.strategies.auto
import bondwork.comparison.comparison, bondwork_models.highs
ends = []
for number, arguments in enumerate(json.loads(sys.argv[1])):
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        for stream, end in enumerate(("in", "out", "err")):
            file = os.open(f"{number}.{end}", os.O_RDWR | os.O_CREAT)
            os.dup2(file, stream)
        os.chdir(sys.argv[2])
        sys.argv = ["bondwork", *arguments]
        sys.exit(bondwork.cli.main())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ends.append((code, time.perf_counter() - start))
print(json.dumps(ends))
"""


def bonds_in_processes(
    *commands: Sequence[object],
    data: Sequence[bytes] = (),
    env: dict[str, str] | None = None,
    bounded: Callable[[], None] | None = None,
) -> list[tuple[subprocess.CompletedProcess[str], float]]:
    """Run commands, each in a process and with an input of its own; return how they end, and seconds."""
    lines = [[str(each) for each in command] for command in commands]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(lines)):
            Path(folder, f"{number}.in").write_bytes(data[number] if data else b"")
        told = subprocess.run(
            [sys.executable, "-c", FORKING, json.dumps(lines), str(Path.cwd())],
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=folder,
            preexec_fn=bounded,
            timeout=600,
            check=True,
        ).stdout
        ended = []
        for number, (line, (code, seconds)) in enumerate(zip(lines, json.loads(told), strict=True)):
            out, err = (Path(folder, f"{number}.{end}").read_bytes().decode() for end in ("out", "err"))
            assert "Traceback" not in err, err
            ended.append((subprocess.CompletedProcess(line, code, out, err), seconds))
    return ended
