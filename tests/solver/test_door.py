"""One door: who imports highspy, and that nothing is printed through it."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bondwork.solver.construction import make_highs
from bondwork.solver.status import WORDS, word

ROOT = Path(__file__).resolve().parents[2]
DOOR = ROOT / "optimizer" / "bondwork" / "solver"

USES = {
    "made": "from bondwork.solver.construction import make_highs; make_highs(); make_highs().run()",
    "one program": (
        "from bondwork.contracts import Options; from bondwork.observing import Silence;"
        "from bondwork.solver.solving import solve_program; from solver.thread_orders import knapsack;"
        "solve_program(knapsack(), Options(threads=2), Silence())"
    ),
    "every call": "from solver.thread_orders import CALLS; [call(2) for call in CALLS]",
    "several threads": "from solver.thread_orders import at_once; at_once()",
    "somebody else in a process of ours": (
        "from bondwork.solver.construction import silence_others; silence_others();"
        "import highspy; highs = highspy.Highs(); highs.addVar(0.0, 1.0); highs.run()"
    ),
}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, *, for_types: bool) -> set[str]:
    """Packages that a file imports, wherever in it; with or without what only a type checker reads."""
    found = set()
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_types:
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
    return found


def test_nobody_else_imports_highspy():
    sources = [*(ROOT / "optimizer").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    assert len(sources) > 200
    # nobody imports what it does not name, and most do not
    sources = [path for path in sources if "highspy" in path.read_text(encoding="utf-8")]
    users = {path for path in sources if "highspy" in imported(path, for_types=False)}
    assert users == {DOOR / "construction.py"}
    assert {path.parent for path in sources if "highspy" in imported(path, for_types=True)} == {DOOR}


def test_loading_the_room_loads_no_highs():
    names = sorted(path.stem for path in DOOR.glob("*.py") if path.stem not in ("__init__", "construction"))
    code = ";".join(f"import bondwork.solver.{name}" for name in names)
    code += ";import sys; sys.exit('highspy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def in_a_new_process(code: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, timeout=120.0, check=False)


@pytest.mark.parametrize("use", USES)
def test_nothing_is_printed(use: str):
    done = in_a_new_process(USES[use])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("use", ["made", "every call"])
def test_nothing_is_printed_into_a_closed_output(use: str):
    code = f"import os; os.close(1); {USES[use]}"
    done = in_a_new_process(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_a_file_opened_in_place_of_the_output_holds_is_its_own(tmp_path: Path):
    """Where the output is closed, the next file to be opened gets its number."""
    code = f"import os; os.close(1); file = open({str(tmp_path / 'plan')!r}, 'w'); assert file.fileno() == 1;"
    done = in_a_new_process(code + USES["every call"] + ";file.write('plan'); file.close()")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plan").read_text() == "plan"


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_a_plan_on_standard_output_is_json_and_nothing_else(formulation: str):
    round_file = str(ROOT / "data" / "rounds" / "three-tasks.json")
    command = [sys.executable, "-m", "bondwork", "solve", round_file, "--json", "--formulation", formulation]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120.0)
    assert json.loads(done.stdout)["status"] == "optimal"


def test_every_status_of_highs_has_a_word():
    statuses = type(make_highs().getModelStatus()).__members__
    assert set(statuses) <= set(WORDS), "a new status of HiGHS: say what it means"
    assert {word(status) for status in statuses.values()} == set(WORDS.values())
