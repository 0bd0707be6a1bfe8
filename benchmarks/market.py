"""The planner against a broker's modes on a simulated proof market: profit, slashing, CVaR.

    python benchmarks/market.py                          # 1,000 orders, seeds 5 and 6: a look
    python benchmarks/market.py --tune --orders 2500     # both sides' settings on seeds 0 to 4
    python benchmarks/market.py --orders 10000 --seeds 5-14 --jobs 2
    python benchmarks/market.py --orders 10000 --seeds 5-14 --zkc 1e-5

Every policy is run on the same markets (`bondwork.replay.market`): same orders, rivals, congestion and
outcomes. Intervals are Student's t over the seeds; differences are paired by seed. ``tuned`` brokers have the
least price of a megacycle and the largest collateral that earned them most on the tuning seeds; ``plain``
ones take everything above the market's floor; a ``strict`` one little, so that little can be slashed. The
planner knows neither who fails how often nor how fast rivals are. ``--out`` gets every run as soon as it is
done; runs that are in it already are not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from bondwork.market.priorities import MODES, Mode
from bondwork.replay.market import MarketLaw, draw_market
from bondwork.replay.market_planner import MarketPlanner, PlannerSettings
from bondwork.replay.market_policies import BrokerSettings, MarketBroker
from bondwork.replay.market_run import run_market

TUNING_SEEDS = range(5)

#: What brokers are tuned over: ETH a megacycle, ZKC.
BROKER_GRID = tuple(product((2.5e-8, 3.5e-8, 4.5e-8, 5.5e-8), (15.0, 40.0, 100.0)))

#: What the planner is tuned over: patience, caution, size of the prior.
PLANNER_GRID = ((0.0, 1.0, 10.0), (0.5, 1.0, 10.0), (1.0, 1.0, 10.0), (0.5, 1.5, 10.0), (0.5, 2.0, 10.0),
                (0.5, 1.0, 30.0))  # fmt: skip

#: What came of the tuning.
TUNED_BROKERS: dict[Mode, BrokerSettings] = {
    "random": BrokerSettings(3.5e-8, 15.0),
    "shortest_expiry": BrokerSettings(3.5e-8, 40.0),
    "price": BrokerSettings(3.5e-8, 40.0),
    "cycle_price": BrokerSettings(2.5e-8, 40.0),
    "tightest_deadline": BrokerSettings(3.5e-8, 40.0),
}
TUNED_PLANNER = PlannerSettings(patience=1.0)

#: Not tuned: a broker that takes little, and a planner that counts what is slashed twice.
STRICT_BROKER = BrokerSettings(4.5e-8, 15.0)
CAREFUL_PLANNER = PlannerSettings(patience=1.0, caution=2.0)


class Task(NamedTuple):
    """One policy on one market."""

    name: str
    seed: int
    law: MarketLaw
    mode: Mode | None
    settings: BrokerSettings | PlannerSettings


class Outcome(NamedTuple):
    """What came of it; ETH."""

    name: str
    seed: int
    profit: float
    slashed: float
    cvar: float
    delivered: int
    failed: int
    utilisation: float
    seconds: float


def carry_out(task: Task) -> Outcome:
    market = draw_market(task.law, task.seed)
    if task.mode is None:
        assert isinstance(task.settings, PlannerSettings)
        policy: Any = MarketPlanner(market, task.settings)
    else:
        assert isinstance(task.settings, BrokerSettings)
        policy = MarketBroker(market, task.mode, task.settings, seed=task.seed)
    begun = time.process_time()
    result = run_market(market, policy)
    seconds = time.process_time() - begun
    return Outcome(
        task.name, task.seed, result.profit, result.slashed, result.cvar(), result.delivered, result.failed,
        result.utilisation, seconds,
    )  # fmt: skip


def run_all(tasks: list[Task], jobs: int, out: Path | None = None) -> dict[str, list[Outcome]]:
    done: dict[tuple[str, int], Outcome] = {}
    if out is not None and out.exists():
        kept = [Outcome(**json.loads(line)) for line in out.read_text().splitlines()]
        done = {(each.name, each.seed): each for each in kept}
    left = [task for task in tasks if (task.name, task.seed) not in done]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(carry_out, task) for task in left]):
            each = future.result()
            done[each.name, each.seed] = each
            if out is not None:
                with out.open("a") as file:
                    file.write(json.dumps(each._asdict()) + "\n")
    found: dict[str, list[Outcome]] = {}
    for task in tasks:
        found.setdefault(task.name, []).append(done[task.name, task.seed])
    return found


def tune(law: MarketLaw, jobs: int) -> None:
    tasks = [
        Task(f"{mode} {price:g} {most:g}", seed, law, mode, BrokerSettings(price, most))
        for mode in MODES
        for price, most in BROKER_GRID
        for seed in TUNING_SEEDS
    ]
    tasks += [
        Task(f"planner {patience:g} {caution:g} {size:g}", seed, law, None,
             PlannerSettings(prior_size=size, patience=patience, caution=caution))
        for patience, caution, size in PLANNER_GRID
        for seed in TUNING_SEEDS
    ]  # fmt: skip
    print(f"{'settings':<40} {'profit':>9} {'slashed':>9} {'CVaR':>9} {'use':>6}")
    for name, outcomes in run_all(tasks, jobs).items():
        rows = [(each.profit, each.slashed, each.cvar, each.utilisation) for each in outcomes]
        means = np.mean(rows, axis=0)
        print(f"{name:<40} {means[0]:>9.4f} {means[1]:>9.4f} {means[2]:>9.4f} {means[3]:>6.1%}", flush=True)


def interval(values: np.ndarray) -> str:
    mean = float(values.mean())
    if len(values) < 2:
        return f"{mean:.4f}"
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return f"{mean:.4f} ± {half:.4f}"


def report(law: MarketLaw, seeds: list[int], jobs: int, out: Path | None, only: list[str] | None) -> None:
    policies: list[tuple[str, Mode | None, BrokerSettings | PlannerSettings]] = [
        ("planner", None, TUNED_PLANNER)
    ]
    policies += [(f"{mode}, tuned", mode, TUNED_BROKERS[mode]) for mode in MODES]
    policies += [(f"{mode}, plain", mode, BrokerSettings()) for mode in MODES]
    policies.append(("price, strict", "price", STRICT_BROKER))
    policies.append(("planner, careful", None, CAREFUL_PLANNER))
    wanted = [each for each in policies if only is None or each[0] in only]
    tasks = [Task(name, seed, law, mode, settings) for seed in seeds for name, mode, settings in wanted]
    found = run_all(tasks, jobs, out)
    planner = found.get("planner", [])
    ours = {name: column(planner, name) for name in ("profit", "slashed")}
    print(
        "| policy | profit | planner earns more by | slashed | planner is slashed more by | CVaR of an hour "
        "| delivered | failed | use | CPU s |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, outcomes in found.items():
        table = {key: column(outcomes, key) for key in Outcome._fields[2:]}
        is_compared = bool(planner) and name != "planner"
        more = [interval(ours[key] - table[key]) if is_compared else "" for key in ours]
        print(
            f"| {name} | {interval(table['profit'])} | {more[0]} | {interval(table['slashed'])} | {more[1]} "
            f"| {interval(table['cvar'])} | {table['delivered'].mean():.0f} | {table['failed'].mean():.0f} "
            f"| {table['utilisation'].mean():.0%} | {table['seconds'].mean():.1f} |",
            flush=True,
        )


def column(outcomes: list[Outcome], name: str) -> np.ndarray:
    return np.array([getattr(each, name) for each in outcomes], dtype=float)


def numbers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune", action="store_true", help="run the grids on seeds 0 to 4")
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--seeds", type=numbers, default=[5, 6], metavar="FIRST-LAST")
    parser.add_argument("--only", action="append", metavar="POLICY", help="of the table; repeatable")
    parser.add_argument("--zkc", type=float, default=MarketLaw().zkc, help="ETH that a ZKC is worth")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="JSON lines, one for each run; gone on with")
    arguments = parser.parse_args()
    law = MarketLaw(orders=arguments.orders, zkc=arguments.zkc)
    if arguments.tune:
        tune(law, arguments.jobs)
    else:
        report(law, arguments.seeds, arguments.jobs, arguments.out, arguments.only)


if __name__ == "__main__":
    main()
