"""OR-Library's generalised assignment files: the mapping, several problems in a file, wrong files."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import pytest

from bondwork.importers.gap import read_gap
from bondwork.problem.faults import InvalidInput

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gap"

# 2 agents, 3 tasks; profits, work, capacities
SMALL = """ 2 3
 5 8 3
 6 4 3
 2 3 1
 1 2 2
 4 3
"""
OTHER = "1 2 7 9 1 1 2\n"


def read(text: str, sense: str = "max", problem: int = 1) -> dict:
    return read_gap(io.StringIO(text), sense, problem)


def refused(text: str, sense: str = "max", problem: int = 1) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(text, sense, problem)
    return [str(fault) for fault in caught.value.faults]


def best_value(document: dict, *, all_assigned: bool) -> float:
    """Best total of reward - bid by trying every assignment: what the round is worth."""
    capacity = {c["id"]: c["capacity"]["work"] for c in document["coprocessors"]}
    reward = {t["id"]: t["reward"] for t in document["tasks"]}
    choices: list[list[dict | None]] = [
        [offer for offer in document["offers"] if offer["task"] == task] + ([] if all_assigned else [None])
        for task in reward
    ]
    best = -float("inf")
    for chosen in itertools.product(*choices):
        taken = [offer for offer in chosen if offer]
        used = dict.fromkeys(capacity, 0)
        for offer in taken:
            used[offer["coprocessor"]] += offer["work"]["work"]
        if all(used[c] <= capacity[c] for c in capacity):
            best = max(best, sum(reward[offer["task"]] - offer["bid"] for offer in taken))
    return best


def test_maximising_turns_profits_into_bids_below_the_largest():
    document = read(SMALL)
    assert document["format"] == "bondwork.round/1"
    assert document["operators"] == [{"id": "operator"}]
    assert document["coprocessors"] == [
        {"id": "agent-1", "capacity": {"work": 4}},
        {"id": "agent-2", "capacity": {"work": 3}},
    ]
    assert [
        (t["id"], t["operator"], t["reward"], t["slashing"], t["required"]) for t in document["tasks"]
    ] == [
        ("task-1", "operator", 6, 0, False),
        ("task-2", "operator", 8, 0, False),
        ("task-3", "operator", 3, 0, False),
    ]
    assert [(o["task"], o["coprocessor"], o["bid"], o["work"]["work"]) for o in document["offers"]] == [
        ("task-1", "agent-1", 1, 2),
        ("task-1", "agent-2", 0, 1),
        ("task-2", "agent-1", 0, 3),
        ("task-2", "agent-2", 4, 2),
        ("task-3", "agent-1", 0, 1),
        ("task-3", "agent-2", 0, 2),
    ]
    assert {(o["success_probability"], o["collateral"]) for o in document["offers"]} == {(1.0, 0)}


def test_minimising_turns_costs_into_bids_of_required_tasks():
    document = read(SMALL, "min")
    assert [(t["reward"], t["required"]) for t in document["tasks"]] == [(0, True)] * 3
    assert [o["bid"] for o in document["offers"]] == [5, 6, 8, 4, 3, 3]


def test_the_round_is_worth_the_best_profit_or_minus_the_least_cost():
    # by hand: profits 6 (agent 2) + 8 + 3 (agent 1) = 17 within 4 and 3 units of work; costs 5 + 4 + 3 = 12
    assert best_value(read(SMALL), all_assigned=False) == 17
    assert best_value(read(SMALL, "min"), all_assigned=True) == -12


def test_decimals_are_subtracted_exactly():
    document = read("2 1  0.3 0.1  1.5 .5  2 2.50")
    assert document["tasks"][0]["reward"] == 0.3
    assert [offer["bid"] for offer in document["offers"]] == [
        0,
        0.2,
    ]  # 0.3 - 0.1 in binary is 0.19999999999999998
    assert [offer["work"]["work"] for offer in document["offers"]] == [1.5, 0.5]
    assert document["coprocessors"][1]["capacity"]["work"] == 2.5


def test_line_breaks_carry_no_meaning():
    def without_name(document: dict) -> dict:
        return {key: value for key, value in document.items() if key != "name"}

    words = SMALL.split()
    assert (
        without_name(read("\n".join(words)))
        == without_name(read(" ".join(words)))
        == without_name(read(SMALL))
    )


@pytest.mark.parametrize("layout", ["2\n{}{}", " 2 \r\n{}\n\n{}", "2 {} {}"])
def test_a_file_of_several_problems(layout: str):
    text = layout.format(SMALL, OTHER)
    first, second = read(text, problem=1), read(text, problem=2)
    assert first["offers"] == read(SMALL)["offers"]
    assert second["offers"] == read(OTHER)["offers"]
    assert first["name"] == "gap problem 1, maximise"
    assert second["name"] == "gap problem 2, maximise"


def test_a_file_that_lacks_problems_is_not_mistaken_for_one_problem():
    # 17 numbers are just what one problem of 3 agents and 2 tasks needs
    assert len(("3\n" + SMALL).split()) == 17
    assert refused("3\n" + SMALL) == [
        "line 7: found the end of the file after 1 problem, expected 3 problems, as line 1 says"
    ]


def test_numbers_that_can_be_read_in_two_ways_need_a_line_break():
    # 2 agents and 4 tasks; or 2 problems, of 4 agents and 1 task and of 1 agent and 1 task: 20 numbers each
    ones = " 1" * 18
    assert refused(f"2 4{ones}") == [
        "line 1, number 1: found numbers that make up one problem or 2 problems, expected a line break after "
        "the number of problems, or after the numbers of agents and tasks"
    ]
    assert len(read(f"2 4\n{ones}")["coprocessors"]) == 2
    assert len(read(f"2\n4 1\n{ones}"[:-2])["coprocessors"]) == 4


def test_a_file_that_says_one_problem():
    assert read("1\n" + SMALL) == read(SMALL)


def test_a_path_gives_the_round_its_name(tmp_path: Path):
    path = tmp_path / "c515.txt"
    path.write_text(SMALL)
    assert read_gap(path, "min")["name"] == "c515, minimise"
    assert read_gap(str(path), "max")["name"] == "c515, maximise"


def test_reading_twice_gives_equal_documents():
    assert read(SMALL) == read(SMALL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: found an empty file, expected the number of agents and the number of tasks"),
        (" \n\n", "line 1: found an empty file, expected the number of agents and the number of tasks"),
        ("0 3\n1 2 3", 'line 1, number 1: found "0", expected the number of agents, a whole number >= 1'),
        ("2 1.5\n1 2", 'line 1, number 2: found "1.5", expected the number of tasks, a whole number >= 1'),
        (
            "2 3\n" + "1 " * 13,
            "line 2: found the end of the file after 15 numbers, expected 16 numbers: agents and tasks (2), "
            "profits or costs (2 x 3), work (2 x 3), capacities (2), as line 1 says",
        ),
        (
            SMALL + "7 7\n",
            "line 7, number 1: found 2 more numbers, expected the end of the file after 16 numbers: agents "
            "and tasks (2), profits or costs (2 x 3), work (2 x 3), capacities (2)",
        ),
        (
            "3\n" + SMALL + OTHER,
            "line 8: found the end of the file after 2 problems, expected 3 problems, as line 1 says",
        ),
        (
            "2\n" + SMALL + "1 2 7 9 1 1\n",
            "line 8: found the end of the file after 6 numbers for problem 2 of 2, expected 7 numbers: "
            "agents and tasks (2), profits or costs (1 x 2), work (1 x 2), capacities (1), as line 8 says",
        ),
        (
            "1\n" + SMALL + OTHER,
            "line 8, number 1: found 7 more numbers, expected the end of the file after 1 problem, "
            "as line 1 says",
        ),
        (
            "2\n" + SMALL + "1 0 7",
            'line 8, number 2: found "0", expected the number of tasks of problem 2 of 2, '
            "a whole number >= 1",
        ),
        ("7", "line 1: found the end of the file, expected the number of tasks, a whole number >= 1"),
        (
            "2\n1 0",
            'line 2, number 2: found "0", expected the number of tasks of problem 1 of 2, '
            "a whole number >= 1",
        ),
        (
            "99999999999999999999 1\n1",
            'line 1, number 1: found "99999999999999999999", expected the number of agents, '
            "a whole number >= 1",
        ),
    ],
)
def test_counts_that_do_not_match_are_explained(text: str, expected: str):
    assert refused(text)[-1] == expected


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "-1",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "1_000",
        "1,5",
        "--1",
        "-",
        ".",
        "1e",
        "１",
        "9" * 400,
        "1e151",
    ],
)
def test_words_that_are_no_numbers_from_0_on(word: str):
    faults = refused(SMALL.replace("6 4 3", f"6 {word} 3"))
    assert len(faults) == 1
    assert faults[0].startswith("line 3, number 2: found ")
    assert faults[0].endswith("expected a number from 0 to 1e+150")


def test_every_bad_word_is_listed():
    faults = refused("2 3\n5 b 3\n6 4 3\n2 3 1\n1 -2 2\n-4 c\n")
    assert [fault.split(":")[0] for fault in faults] == [
        "line 2, number 2",
        "line 5, number 2",
        "line 6, number 1",
        "line 6, number 2",
    ]


def test_a_file_of_another_kind_is_refused_with_some_of_its_faults():
    assert len(refused("name,profit\n" * 1000)) == 100


@pytest.mark.parametrize("problem", [0, 3, -1])
def test_a_problem_that_the_file_does_not_hold(problem: int):
    assert refused("2\n" + SMALL + OTHER, problem=problem) == [f"problem: found {problem}, expected 1 to 2"]


def test_a_second_problem_of_a_file_of_one():
    assert refused(SMALL, problem=2) == ["problem: found 2, expected 1: the file holds one problem"]


def test_a_file_that_is_not_text(tmp_path: Path):
    path = tmp_path / "gap.bin"
    path.write_bytes(b"2 3\n\xff\xfe")
    with pytest.raises(InvalidInput, match="byte 4: found byte 0xff, expected a text file of numbers"):
        read_gap(path, "max")


def test_a_sense_that_does_not_exist():
    with pytest.raises(ValueError, match="sense is 'maximum', expected 'max' or 'min'"):
        read(SMALL, "maximum")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"OR-Library's files are not at {SHARED}")
def test_published_files_have_the_sizes_that_their_table_says():
    with (SHARED / "optima.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) > 60
    for row in rows:
        document = read_gap(SHARED / "files" / row["file"], row["sense"])
        assert len(document["coprocessors"]) == int(row["agents"])
        assert len(document["tasks"]) == int(row["tasks"])
        assert len(document["offers"]) == int(row["agents"]) * int(row["tasks"])
