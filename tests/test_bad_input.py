"""Whatever comes in: exit code 2 and messages with place, value and expectation; no traceback, no hang."""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import functools
import io
import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import bondwork
from bondwork import cli
from commands import bonds_in_processes, command
from mutations import ROUNDS, Mutation, changed, full_round, huge, mutations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds in which each case must have ended, however busy the machine is.
PATIENCE = 20.0

GROUPS = [
    "wrong value",
    "missing",
    "misspelt",
    "extra",
    "repeated key",
    "semantic",
    "two faults",
    "truncated",
    "scribbled",
    "encoding",
    "no round",
    "deep",
]

#: Ends the messages about an input that was refused; nothing else ends so.
REFUSED = re.compile(r"bondwork: \d+ faults?(, \d+ of them not shown)?")

MESSAGE = re.compile(r"bondwork: (?P<path>\S.*?): found (?P<found>\S.*?), expected (?P<expected>\S.*)")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | str | None
    out: str
    err: str
    seconds: float


@contextlib.contextmanager
def watchdog() -> Iterator[None]:
    """End the whole test run, with the stack of what hangs, where a case takes far too long."""
    faulthandler.dump_traceback_later(3 * PATIENCE, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, data: bytes = b"") -> Ended:
    """Run the entry point in this process with ``data`` as standard input."""
    out, err = io.StringIO(), io.StringIO()
    stdin = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    code: int | str | None = 0
    start = time.perf_counter()
    with monkeypatch.context() as patched, watchdog():
        patched.setattr(sys, "argv", ["bondwork", *arguments])
        patched.setattr(sys, "stdin", stdin)
        patched.setattr(cli, "app", command())
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
    return Ended(code, out.getvalue(), err.getvalue(), time.perf_counter() - start)


@functools.cache
def cases() -> dict[str, list[Mutation]]:
    groups: dict[str, list[Mutation]] = {}
    for mutation in mutations():
        groups.setdefault(mutation.group, []).append(mutation)
    return groups


def complaints(case: Mutation, ended: Ended) -> Iterator[str]:
    """List what is wrong with the way a faulty round was received."""
    lines = ended.err.splitlines()
    if "Traceback" in ended.err:
        yield "a traceback"
    if ended.seconds > PATIENCE:
        yield f"{ended.seconds:.1f} seconds"
    if not case.surely_invalid:
        if ended.code not in (0, 2, 3, 4):
            yield f"exit code {ended.code!r}"
        return
    if ended.code != 2:
        yield f"exit code {ended.code!r}"
    if ended.out:
        yield f"standard output {ended.out[:100]!r}"
    if not lines or not REFUSED.fullmatch(lines[-1]):
        yield f"no count of faults at the end: {lines[-1:]}"
    for line in lines[:-1]:
        if not MESSAGE.fullmatch(line):
            yield f"not a message with path, found and expected: {line!r}"
    if any(not c.isprintable() for c in ended.err.replace("\n", "")):
        yield "characters of the input that a terminal would obey"
    for path in case.paths:
        if not any(re.match(rf"bondwork: {re.escape(path)}[:.\[]", line) for line in lines):
            yield f"nothing about {path} among {lines[:4]}"


def assert_refused(monkeypatch: pytest.MonkeyPatch, chosen: list[Mutation]) -> None:
    wrong = []
    for case in chosen:
        ended = run(monkeypatch, "solve", "-", "--time-limit", "2", data=case.data)
        wrong += [f"{case}: {complaint}" for complaint in complaints(case, ended)]
    assert not wrong, f"{len(wrong)} complaints:\n" + "\n".join(wrong[:60])


def test_there_are_enough_cases_of_every_group():
    assert set(cases()) == set(GROUPS)
    assert len({case.data for group in cases().values() for case in group}) >= 2_000
    assert sum(case.surely_invalid for group in cases().values() for case in group) >= 2_000


def test_the_same_seed_makes_the_same_cases():
    again = mutations()
    assert sum(map(len, cases().values())) == len(again)
    assert {c.data for group in cases().values() for c in group} == {c.data for c in again}


def test_what_is_mutated_is_valid():
    assert len(bondwork.load(full_round()).offers) == 6


@pytest.mark.parametrize("part", range(2))
def test_wrong_values(monkeypatch, part):
    assert_refused(monkeypatch, cases()["wrong value"][part::2])


@pytest.mark.parametrize("group", GROUPS[1:])
def test_faulty_rounds(monkeypatch, group):
    assert_refused(monkeypatch, cases()[group])


def test_one_fault_is_one_message():
    """A wrong value in an entry that nothing refers to brings no further faults with it."""
    wrong = []
    for case in cases()["wrong value"]:
        (path,) = case.paths
        if not re.match(r"\$\.(offers|self_execution|commitments|terms|objective|risk|decimals|name)", path):
            continue
        with pytest.raises(bondwork.InvalidInput) as caught:
            bondwork.load(case.data)
        wrong += [f"{case}: {fault}" for fault in caught.value.faults if not fault.path.startswith(path)]
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])


def test_the_faults_of_the_python_call_are_those_of_the_command_line(monkeypatch):
    chosen = random.Random(1).sample(
        [c for group in cases().values() for c in group if c.surely_invalid], 150
    )
    for case in chosen:
        with pytest.raises(bondwork.InvalidInput) as caught:
            bondwork.load(case.data)
        for fault in caught.value.faults:
            assert fault.path and fault.found and fault.expected, case
        lines = run(monkeypatch, "check", "-", data=case.data).err.splitlines()
        assert lines[:-1] == [f"bondwork: {fault}" for fault in caught.value.faults][:1000], case
        ended = run(monkeypatch, "check", "-", "--json", data=case.data)
        document = json.loads(ended.out)
        assert ended.code == 2
        assert document["valid"] is False
        assert [tuple(each.values()) for each in document["faults"]] == [
            (fault.path, fault.found, fault.expected) for fault in caught.value.faults
        ], case


def test_every_fault_of_a_round_at_once(monkeypatch):
    document = full_round()
    document["decimals"] = "18"
    document["operators"][1]["stake"] = -1
    document["coprocessors"][0]["outage_probability"] = 2
    document["coprocessors"].append({"id": "cp-1"})
    document["tasks"][2]["reward"] = float("nan")
    document["tasks"].append({"id": "t-3", "operator": "nobody"})
    document["offers"][0]["bidd"] = 1
    document["offers"][1]["success_probability"]["mean"] = 1.5
    document["offers"][2]["coprocessor"] = "cp-9"
    del document["self_execution"][0]["task"]
    document["commitments"][0]["executor"] = "op-2"
    document["terms"]["collateral_split"]["burned"] = 0.6
    document["risk"][1]["level"] = 1
    document["risk"][3]["of"] = {"operator": "nobody"}
    document["uncertainty"]["dependence"]["common"] = 0.9
    document["periods"][0]["tasks"][0]["reward"]["cv"] = "0.3"
    document["periods"][2]["parent"] = "nowhere"
    document["risks"] = []
    ended = run(monkeypatch, "solve", "-", data=json.dumps(document).encode())
    paths = [MESSAGE.fullmatch(line)["path"] for line in ended.err.splitlines()[:-1]]
    assert Counter(paths) == Counter(
        [
            "$.decimals",
            "$.operators[1].stake",
            "$.coprocessors[0].outage_probability",
            "$.coprocessors[2].id",
            "$.tasks[2].reward",
            "$.tasks[3].operator",
            "$.offers[0].bidd",
            "$.offers[1].success_probability.mean",
            "$.offers[2].coprocessor",
            "$.self_execution[0].task",
            "$.commitments[0].executor",
            "$.terms.collateral_split",
            "$.risk[1].level",
            "$.risk[3].of.operator",
            "$.uncertainty.dependence",
            "$.periods[0].tasks[0].reward.cv",
            "$.periods[2].parent",
            "$.risks",
        ]
    )


def test_a_malformed_entry_may_also_refer_to_nothing(monkeypatch):
    document = full_round()
    document["tasks"][0] |= {"reward": -1, "operator": "nobody"}
    document["tasks"][1]["claims"][1] |= {"reward": -1, "operator": "nobody"}
    document["offers"][0] |= {"bid": -1, "coprocessor": "cp-9"}
    document["offers"][1] |= {"bid": -1, "task": "t-9", "operator": "nobody"}
    document["self_execution"][0] |= {"cost": -1, "operator": "nobody"}
    document["commitments"][0] |= {"collateral": -1, "task": "t-9", "executor": "nobody"}
    document["periods"][0]["offers"][0] |= {"bid": -1, "coprocessor": "cp-9"}
    document["periods"][0]["tasks"][0] |= {"replicas": 0, "operator": "nobody"}
    ended = run(monkeypatch, "check", "-", data=json.dumps(document).encode())
    paths = [MESSAGE.fullmatch(line)["path"] for line in ended.err.splitlines()[:-1]]
    assert sorted(paths) == [
        "$.commitments[0].collateral",
        "$.commitments[0].executor",
        "$.commitments[0].task",
        "$.offers[0].bid",
        "$.offers[0].coprocessor",
        "$.offers[1].bid",
        "$.offers[1].operator",
        "$.offers[1].task",
        "$.periods[0].offers[0].bid",
        "$.periods[0].offers[0].coprocessor",
        "$.periods[0].tasks[0].operator",
        "$.periods[0].tasks[0].replicas",
        "$.self_execution[0].cost",
        "$.self_execution[0].operator",
        "$.tasks[0].operator",
        "$.tasks[0].reward",
        "$.tasks[1].claims[1].operator",
        "$.tasks[1].claims[1].reward",
    ]


def test_a_list_of_the_wrong_type_brings_no_faults_of_what_refers_to_it(monkeypatch):
    for name in ("operators", "coprocessors", "tasks"):
        for wrong in (None, {}, 1, "x"):
            data = json.dumps(changed(full_round(), (name,), wrong)).encode()
            lines = run(monkeypatch, "check", "-", data=data).err.splitlines()
            assert len(lines) == 2, lines
            assert lines[0].startswith(f"bondwork: $.{name}: found ")


def test_faults_beyond_counting_are_counted(monkeypatch):
    document = {name: value for name, value in full_round().items() if name != "constraints"}
    document["offers"] = [
        {"bid": -1, "task": "t-1", "coprocessor": "cp-1", "success_probability": 0.5}
    ] * 1500
    ended = run(monkeypatch, "check", "-", data=json.dumps(document).encode())
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert len(lines) == 1001
    assert lines[-1] == "bondwork: 1500 faults, 500 of them not shown"


# --- real processes --------------------------------------------------------------------------------------


def bounded() -> None:
    """Limit this process to 4 GB and a minute of work."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def in_a_process(case: Mutation) -> Ended:
    command = [sys.executable, "-m", "bondwork", "solve", "-"]
    start = time.perf_counter()
    done = subprocess.run(
        command, input=case.data, capture_output=True, timeout=120, preexec_fn=bounded, check=False
    )
    seconds = time.perf_counter() - start
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(), seconds)


@pytest.mark.parametrize("number", range(6))
def test_a_hundred_megabytes(number):
    case = next(each for i, each in enumerate(huge()) if i == number)
    ended = in_a_process(case)
    assert list(complaints(case, ended)) == []


def test_a_sample_in_real_processes(tmp_path):
    rng = random.Random(2)
    chosen = [case for group in GROUPS for case in rng.sample(cases()[group], 1)]
    commands = []
    for number, case in enumerate(chosen):
        path = tmp_path / f"round-{number}.json"
        path.write_bytes(case.data)
        commands.append(("check" if number % 3 else "solve", path if number % 2 else "-"))
    wrong = []
    given = [case.data for case in chosen]
    results = bonds_in_processes(*commands, data=given, bounded=bounded)
    for case, (done, seconds) in zip(chosen, results, strict=True):
        ended = Ended(done.returncode, done.stdout, done.stderr, seconds)
        wrong += [f"{case}: {complaint}" for complaint in complaints(case, ended)]
    assert not wrong, "\n".join(wrong)


# --- plans and foreign files -----------------------------------------------------------------------------


@functools.cache
def solved() -> tuple[Path, dict]:
    path = ROUNDS / "three-tasks.json"
    return path, json.loads(bondwork.solve(bondwork.load(path)).to_json())


def faulty_plans(rng: random.Random) -> Iterator[tuple[str, bytes, str]]:
    """Plans that are none: name, bytes, and the path that a message must name."""
    _, plan = solved()
    text = json.dumps(plan)
    for name in plan:
        for value in (1, "x", [], {}, None, True, [1], {"nonsense": 1}, float("nan")):
            nullable = name in (
                "objective",
                "objective_standard_error",
                "worth_taken",
                "bound",
                "gap",
                "prices_from",
                "conflict",
                "stochastic",
                "certificate",
            )
            if type(value) is type(plan[name]) or (value is None and nullable):
                continue
            amounts = ("objective", "objective_standard_error", "worth_taken", "bound", "gap", "load_error")
            if isinstance(value, int | float) and name in amounts and value == 1:
                continue
            if name == "stochastic" and value in ({}, {"nonsense": 1}):
                continue
            yield f"{name} = {value!r}", json.dumps(plan | {name: value}).encode(), f"$.{name}"
    for name in plan["assignments"][0]:
        for value in ([], {}, None, True, float("inf")):
            if name == "explanation" and value is None:
                continue
            wrong = changed(plan, ("assignments", 0, name), value)
            yield f"assignment {name} = {value!r}", json.dumps(wrong).encode(), f"$.assignments[0].{name}"
        if name == "explanation":
            continue
        short = copy.deepcopy(plan)
        del short["assignments"][0][name]
        yield f"assignment without {name}", json.dumps(short).encode(), f"$.assignments[0].{name}"
    for name in ("status", "solution", "strategy", "objective", "provenance"):
        short = {key: value for key, value in plan.items() if key != name}
        yield f"without {name}", json.dumps(short).encode(), f"$.{name}"
    yield "a key twice", text.replace('"status"', '"status": "optimal", "status"', 1).encode(), "$.status"
    yield "a round", (ROUNDS / "three-tasks.json").read_bytes(), "$.format"
    for _ in range(60):
        yield "truncated", text[: rng.randrange(len(text))].encode(), ""
    for data in (b"", b"[]", b"null", b"1", b"\xff\xfe", b"\x00", b"[" * 1_000_000, b'{"a":' * 1_000_000):
        yield f"no plan {data[:20]!r}", data, ""


def test_faulty_plans(monkeypatch):
    path, plan = solved()
    assert run(monkeypatch, "verify", str(path), "-", data=json.dumps(plan).encode()).code == 0
    wrong = []
    for name, data, place in faulty_plans(random.Random(3)):
        case = Mutation("plan", name, data, paths=(place,) if place else ())
        ended = run(monkeypatch, "verify", str(path), "-", data=data)
        wrong += [f"{case}: {complaint}" for complaint in complaints(case, ended)]
    assert not wrong, f"{len(wrong)} complaints:\n" + "\n".join(wrong[:40])


def test_scribbled_plans_are_refused_rejected_or_still_the_same(monkeypatch):
    path, plan = solved()
    rng = random.Random(4)
    text = json.dumps(plan).encode()
    for _ in range(300):
        data = bytearray(text)
        data[rng.randrange(len(data))] = ord(rng.choice('"{}[],:0123456789.-e '))
        ended = run(monkeypatch, "verify", str(path), "-", data=bytes(data))
        assert "Traceback" not in ended.err
        assert ended.code in (0, 2)


GAP = "2 3\n 5 8 3\n 6 4 3\n 2 3 1\n 1 2 2\n 4 3\n"

FAULTY_GAP = {
    "empty": b"",
    "white space": b" \n\t\n",
    "one number": b"2",
    "words": b"two agents",
    "a round": b'{"format": "bondwork.round/1"}',
    "too short": GAP[:-3].encode(),
    "too long": GAP.encode() + b" 7\n",
    "a word inside": GAP.replace("8", "eight").encode(),
    "not a number": GAP.replace("8", "nan").encode(),
    "infinite": GAP.replace("8", "inf").encode(),
    "beyond floats": GAP.replace("8", "1e999").encode(),
    "thousands of digits": GAP.replace("8", "8" * 10_000).encode(),
    "negative": GAP.replace("8", "-8").encode(),
    "no agents": GAP.replace("2 3", "0 3", 1).encode(),
    "half an agent": GAP.replace("2 3", "2.5 3", 1).encode(),
    "agents without end": GAP.replace("2 3", "999999999999999999 999999999999999999", 1).encode(),
    "more problems than there are": b"4\n" + GAP.encode(),
    "Latin-1": GAP.encode() + b"\xe9",
    "UTF-16": GAP.encode("utf-16"),
    "NUL": GAP.encode() + b"\x00",
    "other digits": GAP.replace("8", "٨").encode(),
    "underscores": GAP.replace("8", "8_0").encode(),
    "a comma": GAP.replace("8", "8,5").encode(),
    "hexadecimal": GAP.replace("8", "0x8").encode(),
    "a million words": b"x " * 1_000_000,
}


@pytest.mark.parametrize("name", FAULTY_GAP)
def test_faulty_gap_files(monkeypatch, tmp_path, name):
    path = tmp_path / "gap.txt"
    path.write_bytes(FAULTY_GAP[name])
    for source in (str(path), "-"):
        ended = run(monkeypatch, "import", "gap", source, "--sense", "max", data=FAULTY_GAP[name])
        assert list(complaints(Mutation("gap", name, b""), ended)) == []


def test_scribbled_gap_files(monkeypatch):
    rng = random.Random(5)
    for _ in range(300):
        data = bytearray(GAP.encode())
        for _ in range(rng.choice((1, 2))):
            data[rng.randrange(len(data))] = rng.choice(b"0123456789 .-e\n\x00\xff/")
        ended = run(
            monkeypatch, "import", "gap", "-", "--sense", rng.choice(("max", "min")), data=bytes(data)
        )
        assert ended.code in (0, 2)
        assert "Traceback" not in ended.err
        if ended.code == 0:
            bondwork.load(ended.out.encode())
