"""What the documentation shows is what happens: every command, every Python block, every round, every link.

In README.md and docs/**/*.md

- a ``sh`` block holds commands, one a line (a backslash continues it). Those with ``bondwork`` in their
  pipeline are run. Where commands start with ``$``, the other lines are what they print, on both streams;
  ``...`` stands for anything. ``make`` lines must name targets of the Makefile: .ci/run runs those. Lines
  that fetch the project are left alone.
- a ``python`` block is a program of its own.
- a ``json`` block is a JSON document; if it is a round, ``bondwork check`` must accept it.
- a ``toml`` block is a TOML document.

Blocks of a document run in order, in one temporary folder that has ``data``. ``<!-- exit: 3 -->`` before a
block says that its last command ends with 3. The first commands and the first program of README.md, what
needs a shell, and what starts processes have processes of their own; all else runs in the process of the
tests, which saves the imports.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import traceback
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest

from commands import bond

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECONDS = 300

FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\s*$")
EXIT = re.compile(r"^<!-- exit: (\d+) -->$")
OURS = re.compile(r"(^|\|\s*)bondwork ")
LINK = re.compile(r"\]\(([^)\s]+)\)")

#: What only a shell understands, and programs that start processes.
SHELL = re.compile(r"[|<>&;*?$`~]")
PROCESSES = re.compile(r"joblib|multiprocessing|subprocess|processes|__main__|signal")

#: How wide documents are printed, and without colours.
LOOK = {"COLUMNS": "110", "NO_COLOR": "1"}

#: Lines of ``sh`` blocks that are not run: getting the project, and what goes before the installation.
NOT_RUN = ("git clone ", "cd ", "pip install ", "python3 -m pip install ", "source .venv/bin/activate")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is, and how its last command is to end."""

    document: Path
    line: int
    kind: str
    text: str
    exit: int
    alone: bool = False  # whether everything has a process of its own: what people run first, as they would

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a ``sh`` block and what the document says it prints, if it says."""

    line: str
    output: str | None


def blocks_of(document: Path) -> list[Block]:
    lines = document.read_text(encoding="utf-8").splitlines()
    blocks = []
    start, kind, indent = None, "", ""
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if start is None and fence:
            start, kind, indent = number, fence["kind"], fence["indent"]
        elif start is not None and line.strip() == "```":
            before = next((text for text in reversed(lines[: start - 1]) if text.strip()), "")
            expected = EXIT.match(before.strip())
            text = "\n".join(body.removeprefix(indent) for body in lines[start : number - 1])
            blocks.append(Block(document, start, kind, text, int(expected[1]) if expected else 0))
            start = None
    assert start is None, f"{document.relative_to(ROOT)}:{start}: block without an end"
    return blocks


def commands_of(block: Block) -> list[Command]:
    lines = block.text.replace("\\\n", " ").split("\n")
    if not any(line.startswith("$ ") for line in lines):
        return [Command(line.strip(), None) for line in lines if line.strip() and not line.startswith("#")]
    commands: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ ").strip(), ""))
        else:
            assert commands, f"{block}: output before the first command"
            commands[-1] = Command(commands[-1].line, f"{commands[-1].output}{line}\n")
    return commands


def environment() -> dict[str, str]:
    scripts = Path(sys.executable).parent
    assert shutil.which("bondwork", path=str(scripts)), f"the command bondwork is not installed in {scripts}"
    return os.environ | LOOK | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def run(arguments: list[str], folder: Path, where: str, expected: int) -> str:
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == expected, (
        f"{where} ended with {done.returncode}, not {expected}:\n{done.stdout}"
    )
    return done.stdout


def run_command(line: str, folder: Path, where: str, expected: int, *, alone: bool) -> str:
    """Run a line of a shell, by a shell where it needs one or is to be ``alone``; return what it prints."""
    if alone or SHELL.search(line) or not line.startswith("bondwork "):
        return run(["bash", "-o", "pipefail", "-c", line], folder, where, expected)
    with contextlib.chdir(folder), mock.patch.dict(os.environ, LOOK):
        done = bond(*shlex.split(line)[1:], together=True)
    assert done.returncode == expected, (
        f"{where} ended with {done.returncode}, not {expected}:\n{done.stdout}"
    )
    return done.stdout


def run_python(text: str, folder: Path, where: str, expected: int, *, alone: bool) -> None:
    """Run a program, warnings being errors."""
    if alone or expected or PROCESSES.search(text):
        run([sys.executable, "-W", "error", "-c", text], folder, where, expected)
        return
    printed = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        mock.patch.dict(os.environ, LOOK),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        # raised where a file is let go, which no program sees
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            exec(compile(text, where, "exec"), {"__name__": "document"})
        except Exception:
            pytest.fail(f"{where}\n{printed.getvalue()}{traceback.format_exc()}")


def ours_of(block: Block) -> list[Command]:
    """Commands that are run."""
    commands = [command for command in commands_of(block) if not command.line.startswith(NOT_RUN)]
    return [command for command in commands if command.line.split()[0] != "make"]


def run_shell(block: Block, folder: Path) -> None:
    for command in commands_of(block):
        if command.line.split()[0] == "make":
            check_make(block, command.line)
    ours = ours_of(block)
    for position, command in enumerate(ours, start=1):
        where = f"{block}: {command.line}"
        assert OURS.search(command.line), f"{where}: this line is not tested"
        expected = block.exit if position == len(ours) else 0
        printed = run_command(command.line, folder, where, expected, alone=block.alone)
        if command.output:
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(command.output, printed, flags)
            assert same, f"{where} prints\n{printed}\nand not\n{command.output}"


def check_make(block: Block, line: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for word in line.split("#", maxsplit=1)[0].split()[1:] if "=" not in word}
    assert named <= targets, f"{block}: {line}: the Makefile has no {', '.join(sorted(named - targets))}"


def run_block(block: Block, folder: Path) -> None:
    match block.kind:
        case "sh":
            run_shell(block, folder)
        case "python":
            run_python(block.text, folder, str(block), block.exit, alone=block.alone)
        case "json":
            document = json.loads(block.text)
            if isinstance(document, dict) and document.get("format") == "bondwork.round/1":
                done = bond("check", "-", data=block.text, together=True)
                assert done.returncode == block.exit, f"{block}:\n{done.stdout}"
        case "toml":
            tomllib.loads(block.text)
        case "text":
            pass
        case _:
            pytest.fail(f"{block}: a block of kind {block.kind or 'none'!r} is not tested")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_does_what_the_document_says(
    document: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    if document.name == "cluster.md":
        request.getfixturevalue("mpi")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    first = {"sh", "python"} if document.name == "README.md" else set()
    for block in blocks_of(document):
        alone = block.kind in first and (block.kind != "sh" or bool(ours_of(block)))
        first -= {block.kind} if alone else set()
        run_block(replace(block, alone=alone), tmp_path)
    assert not first


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path):
    targets = [target for target in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not (document.parent / target.split("#")[0]).exists()]
    assert not missing


def test_every_example_round_has_a_page():
    rounds = {path.stem for path in (ROOT / "data" / "rounds").glob("*.json")}
    assert rounds == {path.stem for path in (ROOT / "docs" / "examples").glob("*.md")}
