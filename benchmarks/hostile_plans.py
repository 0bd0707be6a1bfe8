"""Plans with something wrong, by the thousand: nothing but a refusal may come of checking or reporting one.

    python benchmarks/hostile_plans.py                     every field of every plan wrong once
    python benchmarks/hostile_plans.py --several 2000      and plans with several things wrong

What counts: an exception that is no refusal, and a check that takes long: the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bondwork
from bondwork.report.plan_report import report_plan
from plan_kinds import KINDS, instance_of, plan_of
from plan_mutations import one_wrong, several_wrong

#: Every how many plans one is reported as well, and seconds that no check takes.
REPORTED, SECONDS = 50, 10.0


def main() -> int:
    """Try all of them; print what went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--several", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    wrong = 0
    for kind in KINDS:
        instance, plan, tried = instance_of(kind), json.loads(plan_of(kind).to_json()), 0
        for where, bad in chain(one_wrong(plan, asked.seed), several_wrong(plan, asked.seed, asked.several)):
            tried += 1
            begun = time.perf_counter()
            try:
                bondwork.verify(instance, bad)
                if tried % REPORTED == 0:
                    report_plan(instance, bondwork.load_plan(bad), scenarios=64)
            except (bondwork.InvalidInput, bondwork.Refusal):
                pass
            except Exception as error:
                wrong += 1
                print(f"{kind}, {where}: {type(error).__name__}: {str(error)[:200]}", flush=True)
            if (seconds := time.perf_counter() - begun) > SECONDS:
                wrong += 1
                print(f"{kind}, {where}: {seconds:.1f} seconds", flush=True)
        print(f"{kind}: {tried} plans", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
