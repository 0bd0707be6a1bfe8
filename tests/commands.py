"""The command as people and programs use it: in the process of the tests, or in one of its own.

A process of its own takes a second of a core, most of it importing. It is needed where the process is what a
test is about: its environment, its streams, signals.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from unittest import mock

import typer.main

from bondwork import cli

if TYPE_CHECKING:
    from pathlib import Path

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
