"""``bondwork report``, and ``--report`` of ``solve``, ``compare`` and ``tree inspect``."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import pytest

from bondwork import cli
from bondwork.report import extra
from bondwork.uncertainty.tree import ScenarioTree
from report.pages import check_page, facts, headings

ROUNDS = Path(__file__).resolve().parents[2] / "data" / "rounds"
ROUND = ROUNDS / "three-tasks.json"


@pytest.fixture
def bond(capsys, monkeypatch, tmp_path):
    """Run a command in this process; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bondwork", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_solve_writes_the_page_that_report_writes_of_its_plan(bond):
    code, out, _ = bond("solve", ROUND, "-o", "plan.json", "--report", "now.html", "--json")
    assert code == 0
    assert out == Path("plan.json").read_text()
    code, _, err = bond("report", "plan.json", "--round", ROUND, "-o", "later.html")
    assert (code, "written to later.html" in err) == (0, True)
    assert Path("now.html").read_bytes() == Path("later.html").read_bytes()
    assert facts(check_page(Path("now.html").read_text()))["objective"] == "11.7 ETH"


def test_an_infeasible_round_has_a_page_and_its_own_exit_code(bond):
    document = json.loads(ROUND.read_bytes())
    for each in document["tasks"]:
        each["required"] = True
    document["operators"][0]["stake"] = 1
    Path("round.json").write_text(json.dumps(document))
    code, _, _ = bond("solve", "round.json", "--report", "page.html")
    assert code == 3
    assert headings(check_page(Path("page.html").read_text()))[0] == "Why there is no plan"


def test_compare_writes_the_page_that_report_writes_of_its_rows(bond):
    arguments = ("--strategy", "greedy", "--strategy", "relaxation", "--reference", "relaxation")
    code, _, _ = bond(
        "compare", ROUND, *arguments, "--scenarios", 100, "-o", "c.json", "--report", "now.html"
    )
    assert code == 0
    told = ("--name", "three-tasks", "--currency", "ETH", "--reference", "relaxation")
    assert bond("report", "c.json", *told, "-o", "later.html")[0] == 0
    assert Path("now.html").read_bytes() == Path("later.html").read_bytes()
    check_page(Path("now.html").read_text())


def test_trees_have_pages(bond):
    tree = ScenarioTree.from_fan([[2.0], [6.0]], names=["demand"])
    Path("two.json").write_text(tree.to_json())
    assert bond("tree", "inspect", "two.json", "--report", "now.html")[0] == 0
    assert bond("report", "two.json", "-o", "later.html")[0] == 0
    assert Path("now.html").read_bytes() == Path("later.html").read_bytes()
    assert check_page(Path("now.html").read_text()).all("h1")[0].text == "two"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "plan.json", "-o", "p.html"), "--round ROUND.json"),
        (("report", ROUND, "-o", "p.html"), "$.format"),
        (("report", "plan.json", "--round", ROUNDS / "replicas.json", "-o", "p.html"), "input_sha256"),
        (("report", "plan.json", "--round", ROUND, "--currency", "ETH", "-o", "p.html"), "for comparisons"),
        (("report", "two.json", "--round", ROUND, "-o", "p.html"), "for plans"),
        (("report", "two.json", "-o", "no/such/folder/p.html"), "No such file"),
        (("solve", ROUND, "--report", "no/such/folder/p.html"), "No such file"),
        (("solve", ROUND, "--report", "-"), "a page goes to a file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(bond, arguments, words):
    bond("solve", ROUND, "--strategy", "greedy", "-o", "plan.json")
    Path("two.json").write_text(ScenarioTree.from_fan([[2.0], [6.0]]).to_json())
    code, _, err = bond(*arguments)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())
    assert not Path("p.html").exists()


@pytest.mark.parametrize("command", [("solve", ROUND), ("compare", ROUND), ("tree", "inspect", "two.json")])
def test_without_the_extra_a_report_is_refused_before_the_work(bond, monkeypatch, command):
    Path("two.json").write_text(ScenarioTree.from_fan([[2.0], [6.0]]).to_json())
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "jinja2" else util.find_spec(name))
    code, out, err = bond(*command, "--report", "p.html")
    assert (code, out) == (2, "")
    assert "bondwork[report]" in err
    assert not Path("p.html").exists()
