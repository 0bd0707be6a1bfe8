"""How long it takes to read a round from JSON, as a multiple of ``json.load``.

    python benchmarks/reading.py                    the 1000 x 100 x 100 round: 100,000 offers
    python benchmarks/reading.py round.json         a round of your own

Both read the same file in turn, several times over, in one process; medians count, because other people use
the machine too. ``bondwork.load`` also checks every field and every reference and makes the arrays.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bondwork
from bondwork.problem.generate import generate_round

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS, COPROCESSORS, OFFERS, SEED = 1000, 100, 100, 0

#: The generator that the figures of other projects were taken with, where it is at hand.
MAKE_ROUND = Path(__file__).resolve().parents[2] / "shared" / "bench" / "make_round.py"

#: At most this many times the seconds of ``json.load``.
TARGET = 6.0


def write_round(path: Path) -> None:
    if not MAKE_ROUND.exists():
        path.write_text(json.dumps(generate_round(TASKS, COPROCESSORS, OFFERS, SEED)), encoding="utf-8")
        return
    arguments = {"--tasks": TASKS, "--coprocessors": COPROCESSORS, "--offers": OFFERS, "--seed": SEED}
    command = [sys.executable, str(MAKE_ROUND), *(str(word) for pair in arguments.items() for word in pair)]
    with path.open("wb") as file:
        subprocess.run(command, check=True, stdout=file)


def json_load(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        json.load(file)


def seconds(function: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(path: Path, repeats: int) -> tuple[float, float]:
    """Median seconds of ``json.load`` and of ``bondwork.load``."""
    yardstick, ours = [], []
    for repeat in range(repeats + 1):
        once = seconds(lambda: json_load(path)), seconds(lambda: bondwork.load(path))
        if repeat:  # the first time round loads what is loaded once
            yardstick.append(once[0])
            ours.append(once[1])
    return statistics.median(yardstick), statistics.median(ours)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time reading a round, as a multiple of json.load.")
    parser.add_argument("round", nargs="?", type=Path, help="a bondwork.round/1 file")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.round
        if path is None:
            path = Path(folder) / "round.json"
            write_round(path)
        instance = bondwork.load(path)
        yardstick, ours = measure(path, arguments.repeats)
    print(f"{instance.name}: {len(instance.offers)} offers, medians of {arguments.repeats}")
    print(f"{'':14} {'seconds':>9} {'ratio':>7}  target")
    print(f"{'json.load':14} {yardstick:9.4f} {1:7.1f}")
    held = ours <= TARGET * yardstick
    print(
        f"{'bondwork.load':14} {ours:9.4f} {ours / yardstick:7.1f}  {TARGET:g}x{'' if held else '  MISSED'}"
    )
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
