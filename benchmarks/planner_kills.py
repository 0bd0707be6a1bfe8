"""A planner under load, killed at random instants: what is lost, and what is locked twice.

    python benchmarks/planner_kills.py                 200 kills
    python benchmarks/planner_kills.py --kills 10 --lines 9      as the suite does

A process plans rounds and observes outcomes as fast as it can, and tells on a pipe what each call returned
from. It is killed (SIGKILL) at a random instant; another opens the same file, asks for the last round again,
and goes on. After every kill the file is opened and checked: what was told of is there, the events fold into
the snapshots' state, and a second bookkeeping, which shares no code with the ledger, comes to the same sums.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from bondwork.planner.breaker import Breaker
from bondwork.planner.planner import Planner
from bondwork.registry import find_formulation, find_strategy

TASKS, COPROCESSORS, OPERATORS = 6, 3, 2

#: Seconds without a line after which a process is killed all the same.
PATIENCE = 10.0


def make_round(number: int) -> dict[str, Any]:
    """Draw the round of a number; amounts with more digits than a float has."""
    rng = random.Random(f"round {number}")
    tasks = [
        {
            "id": f"t-{number}-{i}",
            "operator": f"op-{rng.randrange(OPERATORS)}",
            "reward": f"{rng.uniform(5.0, 20.0):.18f}",
            "slashing": f"{rng.uniform(1.0, 9.0):.18f}",
        }
        for i in range(TASKS)
    ]
    offers = [
        {
            "task": task["id"],
            "coprocessor": f"cp-{c}",
            "bid": f"{rng.uniform(1.0, 4.0):.18f}",
            "collateral": f"{rng.uniform(5.0, 20.0):.18f}",
            "success_probability": round(rng.uniform(0.8, 0.99), 3),
        }
        for task in tasks
        for c in rng.sample(range(COPROCESSORS), 2)
    ]
    return {
        "format": "bondwork.round/1",
        "currency": "ETH",
        "now": number * 60,
        "operators": [{"id": f"op-{v}", "stake": "1000"} for v in range(OPERATORS)],
        "coprocessors": [{"id": f"cp-{c}", "free_collateral": "150"} for c in range(COPROCESSORS)],
        "tasks": tasks,
        "offers": offers,
        "terms": {"bid_paid": "on_success", "collateral_split": {"burned": 0.5, "rescuer": 0.5}},
    }


def outcome_of(commitment: str) -> str:
    """How a commitment ends: always the same, whoever asks."""
    return random.Random(commitment).choices(["succeeded", "failed", "released"], [0.85, 0.1, 0.05])[0]


def work(path: str, pipe: int) -> None:
    """Plan and observe until killed; tell what was done, a line at a time."""

    def tell(kind: str, *ids: str) -> None:
        os.write(pipe, (json.dumps([kind, *ids]) + "\n").encode())

    planner = Planner(
        path, strategy="greedy", reputation="forgetting", breaker=Breaker(failures=25, over=100)
    )
    tell("open")
    last = planner.state.last_round
    number = 0 if last is None else int(last.split("-")[1])
    while True:
        planner.plan(make_round(number), f"r-{number}")
        tell("planned", f"r-{number}")
        due = [each.id for each in planner.commitments if random.Random(each.id + "when").random() < 0.7]
        if due:
            planner.observe([{"commitment": each, "outcome": outcome_of(each)} for each in due])
            tell("observed", *due)
            again = planner.observe([{"commitment": due[0], "outcome": outcome_of(due[0])}])
            assert again.repeated == 1, again
        if number % 2 == 0:
            planner.deposit(f"d-{number}", f"cp-{number % COPROCESSORS}", "42.345678901234567891")
            tell("moved", f"d-{number}")
        if planner.state.breaker.open:
            planner.reset(f"x-{number}")
            tell("reset", f"x-{number}")
        number += 1


class Auditor:
    """Checks the file after a kill, by what was told and by a bookkeeping of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: set[tuple[str, str]] = set()

    def hear(self, text: str) -> None:
        """Take in what a process told before it was killed; its last line may be half a line."""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                kind, *ids = json.loads(line)
                self.told.update((kind, each) for each in ids)

    def check(self) -> Counter[str]:
        """Check everything; return what was found, by kind of event."""
        with Planner(self.path) as planner:
            state = planner.audit()  # every event folded again, against snapshot and tail
            assert state.imbalance == 0
        connection = sqlite3.connect(self.path)
        events = [(id_, json.loads(body)) for id_, body in connection.execute("SELECT id, body FROM events")]
        connection.close()
        there = {tuple(id_.split(":", 1)) for id_, _ in events}
        lost = self.told - there
        assert not lost, f"told and lost: {sorted(lost)[:5]}"
        self._recount([body for _, body in events], state)
        return Counter(body["event"] for _, body in events)

    def _recount(self, events: list[dict[str, Any]], state: Any) -> None:
        """Free and locked collateral from the events alone, in decimals."""
        free: Counter[str] = Counter()
        made: dict[str, dict[str, Any]] = {}
        ended: set[str] = set()
        tasks: Counter[str] = Counter()
        for event in events:
            if event["event"] == "planned":
                for name, amount in event["coprocessors"].items():
                    free[name] += Decimal(amount)
                for each in event["commitments"]:
                    assert each["id"] not in made, f"{each['id']} is locked twice"
                    made[each["id"]] = each
                    tasks[each["task"]] += 1
                    free[each["executor"]] -= Decimal(each["collateral"])
            elif event["event"] == "moved":
                free[event["member"]] += Decimal(event["amount"])
            elif event["event"] == "observed":
                assert event["commitment"] not in ended, f"{event['commitment']} ended twice"
                ended.add(event["commitment"])
                if event["outcome"] != "failed":
                    each = made[event["commitment"]]
                    free[each["executor"]] += Decimal(each["collateral"])
        assert not tasks or max(tasks.values()) == 1, "a task was given away twice"
        locked: Counter[str] = Counter()
        for id_, each in made.items():
            if id_ not in ended:
                locked[each["executor"]] += Decimal(each["collateral"])
        assert {each.id for each in state.commitments} == set(made) - ended
        for each in state.coprocessors:
            assert Decimal(each.free) == free[each.id], each
            assert Decimal(each.locked) == locked[each.id], each


def run_and_kill(context: Any, path: Path, lines: int, share: float) -> str:
    """Let a process work until it told so many lines, kill it some share of a line later; return them.

    Counted in its own work and not in seconds, the instants are as random on a busy machine as on an
    idle one.
    """
    reads, writes = os.pipe()
    process = context.Process(target=work, args=(str(path), writes), daemon=True)
    told = b""
    with os.fdopen(reads, "rb", buffering=0) as pipe:
        process.start()
        os.close(writes)
        start = time.perf_counter()
        while told.count(b"\n") < lines and select.select([pipe], [], [], PATIENCE)[0]:
            if not (more := pipe.read(1 << 16)):
                break
            told += more
        time.sleep(share * (time.perf_counter() - start) / lines)
        process.kill()
        while more := pipe.read(1 << 16):
            told += more
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"the planner ended by itself: {process.exitcode}"
    return told.decode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a planner at random instants and audit what is left.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=40, help="most that a process tells before it is killed")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    find_strategy("greedy"), find_formulation("highs")  # so that no child spends its life on imports
    context = multiprocessing.get_context("fork")  # no thread has been started: nothing was solved here
    unheard = 0
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.sqlite"
        auditor = Auditor(path)
        start = time.perf_counter()
        for _ in range(arguments.kills):
            lines, share = rng.randint(1, arguments.lines), rng.uniform(0.0, 2.0)
            auditor.hear(run_and_kill(context, path, lines, share))
            found = auditor.check()
            heard = Counter(kind for kind, _ in auditor.told)
            unheard += found["planned"] > heard["planned"]
        seconds = time.perf_counter() - start
    print(
        f"{arguments.kills} kills in {seconds:.0f} s: {found['planned']} rounds, {found['observed']} "
        f"outcomes, {found['moved']} deposits, {found['reset']} resets; nothing lost, nothing locked twice, "
        f"the ledger balanced each time; {unheard} kills fell between a commit and its answer"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
