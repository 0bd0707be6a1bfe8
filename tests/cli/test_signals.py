"""Signals: what was found is written, whenever they come."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from bondwork import cli, console
from bondwork.program.program_schema import write_program
from program.stochastic_programs import toy
from test_cli import small_round


def staged() -> dict:
    """Return the small round with one of its tasks later."""
    document = small_round()
    later, now = document["tasks"][:1], document["tasks"][1:]
    offers = document["offers"]
    period = {"id": "later", "at": 10.0, "tasks": later, "offers": offers[:1]}
    return {**document, "tasks": now, "offers": offers[1:], "periods": [period]}


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("solve", signal.SIGINT),
        ("roll", signal.SIGTERM),
        ("saa", signal.SIGINT),
        ("compare", signal.SIGTERM),
        ("solve a program", signal.SIGTERM),
    ],
)
def test_a_signal_while_the_result_is_written_takes_nothing_away(tmp_path, monkeypatch, command, number):
    path, out = tmp_path / "round.json", tmp_path / "out.json"
    name, _, about = command.partition(" ")
    path.write_text(json.dumps(write_program(toy()) if about or name == "saa" else staged()))
    arguments = [name, str(path), "-o", str(out)]
    arguments += ["--evaluate", "10", "--scenarios", "2"] if name == "saa" else []
    arguments += ["--strategy", "extensive", "--scenarios", "0"] if name == "compare" else []
    write = console.write

    def interrupted(*what):
        os.kill(os.getpid(), number)
        write(*what)

    monkeypatch.setattr(console, "write", interrupted)
    monkeypatch.setattr(sys, "argv", ["bondwork", *arguments])
    # a signal that nobody handles would end the tests
    before = signal.signal(number, lambda *_: pytest.fail("the signal was not heard"))
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main()
    finally:
        signal.signal(number, before)
    assert caught.value.code in (0, 4)
    assert json.loads(out.read_text())["format"].startswith("bondwork.")
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".tmp"] == []
