"""How well a time limit is kept: what was asked for, and what the call took, as a table.

Every call is a process of its own, as on the command line: the clock starts at the call, after imports. With
``--cold`` each starts with an empty cache of compiled code. ``needed`` is what reading, building and
verifying took together: where that is less than half of the limit, the call is to end within 0.2 s of the
limit on a machine with nothing else to do; elsewhere with a greedy plan, as soon as that is verified.

    python benchmarks/time_limits.py [--cold] [--limits 1 2 5] [--only rounds,tails,rescues,periods]
        [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Tasks, coprocessors and offers of a task, by name.
ROUNDS = {"3,200 offers": (400, 20, 8), "20,000 offers": (2000, 100, 10), "100,000 offers": (5000, 200, 20)}

_CALL = """
import json, resource, sys, time
import bondwork, bondwork.solving, bondwork.registry
from bondwork import load
path, strategy, limit, settings = sys.argv[1], sys.argv[2], float(sys.argv[3]), {}
begun = time.perf_counter()
instance = load(path)
plan = bondwork.solve(instance, strategy=strategy, time_limit=limit, begun=begun)
took = time.perf_counter() - begun
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
t = plan.timing
print(json.dumps({"took": took, "cpu": sum(each.ru_utime + each.ru_stime for each in used),
    "status": plan.status, "objective": plan.objective, "gap": plan.gap,
    "needed": t.read + t.sample + t.build + t.verify, "notes": plan.provenance.notes,
    "strategy": plan.strategy, "verified": plan.verified}))
"""


def make(folder: Path, only: set[str], quick: bool = False) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """Rounds by name, each with the strategies to try."""
    made: dict[str, tuple[Path, tuple[str, ...]]] = {}

    def generate(name: str, *options: str) -> Path:
        path = folder / f"{len(made)}.json"
        command = [sys.executable, "-m", "bondwork", "generate", "--seed", "1", "-o", str(path), *options]
        subprocess.run(command, check=True)
        return path

    def sized(name: str) -> list[str]:
        tasks, coprocessors, offers = map(str, ROUNDS[name])
        return ["--tasks", tasks, "--coprocessors", coprocessors, "--offers", offers]

    names = list(ROUNDS)[:1] if quick else list(ROUNDS)
    for name in names if "rounds" in only else ():
        made[name] = generate(name, *sized(name)), ("lagrangian", "extensive", "relaxation", "auto")
    if "tails" in only:
        for name in names[:2]:
            path = generate(name, *sized(name), "--risk-budget", "300")
            document = json.loads(path.read_text())
            document.setdefault("uncertainty", {})["scenarios"] = 1024
            path.write_text(json.dumps(document))
            made[f"{name}, CVaR, 1,024 scenarios"] = path, ("lagrangian", "extensive")
    if "rescues" in only:
        for tasks in ("20",) if quick else ("20", "200"):
            path = generate(tasks, "--tasks", tasks, "--offers", "4", "--rescue", "2")
            made[f"{tasks} tasks, second stage"] = path, ("auto", "l-shaped", "saa")
    if "periods" in only:
        for tasks in (6, 12) if quick else (6, 40):
            path = generate(f"{tasks}", "--tasks", str(tasks), "--offers", "4")
            path.write_text(json.dumps(with_periods(json.loads(path.read_text()))))
            made[f"{tasks} tasks, two periods"] = path, ("auto", "extensive", "l-shaped")
    return made


def with_periods(document: dict) -> dict:  # type: ignore[type-arg]
    """The same tasks again in a later period."""
    later = [{**task, "id": f"{task['id']}-later"} for task in document["tasks"]]
    offers = [{**offer, "task": f"{offer['task']}-later"} for offer in document["offers"]]
    document["periods"] = [{"id": "later", "at": 10.0, "tasks": later, "offers": offers}]
    return document


def call(path: Path, strategy: str, limit: float, cold: bool) -> dict:  # type: ignore[type-arg]
    """Solve once in a process of its own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, **({"NUMBA_CACHE_DIR": cache} if cold else {})}
        command = [sys.executable, "-c", _CALL, str(path), strategy, str(limit)]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=float, nargs="+", default=[1.0, 2.0, 5.0])
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the smaller rounds: some minutes")
    parser.add_argument("--only", default="rounds,tails,rescues,periods")
    parser.add_argument("--strategies", default="")
    chosen = parser.parse_args()
    if not chosen.cold:
        subprocess.run([sys.executable, "-m", "bondwork", "warm-up"], check=True, stdout=subprocess.DEVNULL)
    print(
        f"{'round':40} {'strategy':10} {'limit':>6} {'took':>6} {'over':>6} "
        f"{'needed':>6} {'cpu':>6}  status, gap"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, strategies) in make(Path(folder), set(chosen.only.split(",")), chosen.quick).items():
            for strategy in chosen.strategies.split(",") if chosen.strategies else strategies:
                for limit in chosen.limits:
                    told = call(path, strategy, limit, chosen.cold)
                    if "error" in told:
                        print(f"{name:40} {strategy:10} {limit:6.1f} {told['error']}", flush=True)
                        continue
                    quick = " greedy" if any("greedy plan" in note for note in told["notes"]) else ""
                    gap = "-" if told["gap"] is None else f"{told['gap']:.2%}"
                    took = told["took"]
                    print(
                        f"{name:40} {strategy:10} {limit:6.1f} {took:6.2f} {took - limit:6.2f} "
                        f"{told['needed']:6.2f} {told['cpu']:6.2f}  {told['status']}, {gap}{quick}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
