"""SMPS files: every section and mode, what is refused and where, and that garbage never ends in an error."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.problem.faults import InvalidInput
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram

SMPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "smps"

CORE = """NAME          SMALL
ROWS
 N  COST
 L  CAP
 G  NEED1
 N  SPARE
 E  NEED2
COLUMNS
    X         COST             1.0   CAP              1.0
    X         NEED1            1.0   NEED2            1.0
    Y         COST             2.0   NEED1            1.0
    Y         SPARE            9.0
    Z         COST             3.0   NEED2            1.0
    U         NEED2           -1.0
RHS
    RHS       CAP              8.0   NEED1            2.0
    RHS       NEED2            3.0   COST            -5.0
ENDATA
"""
TIME = """TIME          SMALL
PERIODS
    X         CAP                      P1
    Y         NEED1                    P2
    Z         NEED2                    P3
ENDATA
"""
STOCH = """STOCH         SMALL
INDEP         DISCRETE
    RHS       NEED1            2.0     P2        0.5
    RHS       NEED1            4.0     P2        0.5
    RHS       NEED2            3.0     P3        0.25
    RHS       NEED2            6.0     P3        0.75
ENDATA
"""
TWO = """TIME          SMALL
PERIODS
    X         COST                     P1
    Y         NEED1                    P2
ENDATA
"""


def read(core: str = CORE, time: str = TIME, stoch: str = STOCH, **named: object) -> StochasticProgram:
    return read_smps(io.StringIO(core), io.StringIO(time), io.StringIO(stoch), **named)  # type: ignore[arg-type]


def refused(core: str = CORE, time: str = TIME, stoch: str = STOCH, **named: object) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(core, time, stoch, **named)
    return [str(fault) for fault in caught.value.faults]


def scenarios(body: str, header: str = "SCENARIOS     DISCRETE") -> str:
    return f"STOCH SMALL\n{header}\n{body}ENDATA\n"


# --- core --------------------------------------------------------------------------------------------------


def test_stages_rows_columns_and_constant() -> None:
    program = read()
    assert program.stages == ("P1", "P2", "P3")
    assert [each.columns for each in program.templates] == [("X",), ("Y",), ("Z", "U")]
    assert [each.rows for each in program.templates] == [("CAP",), ("NEED1",), ("NEED2",)]
    assert program.constant == 5.0  # minus the right-hand side of the objective
    leaf = program.node(int(program.leaves[0]))
    assert leaf.to_ancestors[0].toarray().tolist() == [[1.0]]
    assert leaf.own.toarray().tolist() == [[1.0, -1.0]]
    assert (leaf.row_lower.tolist(), leaf.row_upper.tolist()) == ([3.0], [3.0])


def test_sections_of_the_core() -> None:
    core = """NAME
OBJSENSE
    MAXIMIZE
ROWS
 N obj
 L l
 G g
 E e1
 E e2
COLUMNS
 x obj 1 l 1.5D0
 M1 'MARKER' 'INTORG'
 i obj 1 g 1
 j obj 1 g 1
 k obj 1 e1 1
 M2 'MARKER' 'INTEND'
 a obj 1
 b obj 1
 c obj 1
 d obj 1
 e obj 1
 f obj 1
 y e2 1
RHS
 l 4 g 2
 e1 5 e2 5
RANGES
 RNG l 3 g -3
 RNG e1 2 e2 -2
BOUNDS
 UP BND i 7
 UI BND a 9
 LI BND b -2
 BV BND c
 FR BND d
 MI BND e
 FX BND f 2.5
 LO BND x -4
 PL BND j
 UP BND y 1e30
ENDATA
"""
    time = "TIME\nPERIODS\n x l P1\nENDATA\n"
    stoch = "STOCH\nSCENARIOS\n SC only ROOT 1 P1\nENDATA\n"
    program = read(core, time, stoch)
    template = program.templates[0]
    assert program.sense == "max"
    assert template.columns == ("x", "i", "j", "k", "a", "b", "c", "d", "e", "f", "y")
    inf = np.inf
    assert template.part("lower").tolist() == [-4, 0, 0, 0, 0, -2, 0, -inf, -inf, 2.5, 0]
    # k has no bounds and is whole: 0 or 1
    assert template.part("upper").tolist() == [inf, 7, inf, 1, 9, inf, 1, inf, inf, 2.5, inf]
    assert [name for name, whole in zip(template.columns, template.integer, strict=True) if whole] == [
        *("i", "j", "k", "a", "b", "c")
    ]
    assert template.part("row_lower").tolist() == [1, 2, 5, 3]
    assert template.part("row_upper").tolist() == [4, 5, 7, 5]
    assert template.part("entries").tolist()[0] == 1.5


def test_fixed_format_with_blanks_in_names() -> None:
    def card(*fields: str) -> str:
        return "    {:<8}  {:<8}  {:>12}   {:<8}  {:>12}".format(*fields).rstrip() + "\n"

    core = "NAME          BLANKS\nROWS\n N  COST\n L  MY CAP\n G  DEM 1\nCOLUMNS\n"
    core += card("X 1", "COST", "1.0", "MY CAP", "1.0") + card("X 1", "DEM 1", "1.0", "", "")
    core += card("Y 1", "COST", "3.0", "DEM 1", "1.0")
    core += "RHS\n" + card("", "MY CAP", "8.0", "DEM 1", "2.0") + "ENDATA\n"
    time = "TIME          BLANKS\nPERIODS\n"
    time += card("X 1", "MY CAP", "", "P 1", "") + card("Y 1", "DEM 1", "", "P 2", "") + "ENDATA\n"
    stoch = "STOCH         BLANKS\nINDEP         DISCRETE\n"
    stoch += (
        card("RHS", "DEM 1", "2.0", "P 2", "0.5") + card("RHS", "DEM 1", "4.0", "P 2", "0.5") + "ENDATA\n"
    )
    program = read(core, time, stoch)
    assert program.templates[1].columns == ("Y 1",)
    assert [program.node(leaf).row_lower.tolist() for leaf in program.leaves] == [[2.0], [4.0]]


def test_explicit_periods() -> None:
    time = (
        "TIME SMALL\nPERIODS EXPLICIT\n P1\n P2\n P3\n"
        "COLUMNS\n X P1\n Y P2\n Z P3\n U P3\nROWS\n CAP P1\n NEED1 P2\n NEED2 P3\nENDATA\n"
    )
    assert read(time=time).sha256 == read().sha256


# --- stoch -------------------------------------------------------------------------------------------------


def test_independent_elements_make_a_product() -> None:
    program = read()
    assert program.parent.tolist() == [-1, 0, 0, 1, 1, 2, 2]
    assert program.probability.tolist() == [1, 0.5, 0.5, 0.125, 0.375, 0.125, 0.375]
    assert [program.node(k).row_lower.tolist() for k in range(1, 7)] == [[2], [4], [3], [6], [3], [6]]
    # X 4 serves NEED1 of 4 and NEED2 up to 4; by hand: 5 + 4 + 0.75 * 2 * 3
    assert solve_stochastic(program, Options(mip_rel_gap=0)).objective == pytest.approx(5 + 6 + 0)


def test_period_may_be_left_out_and_modes_change_the_core() -> None:
    added = STOCH.replace("INDEP         DISCRETE", "INDEP DISCRETE ADD").replace("P2  ", "    ")
    assert [read(stoch=added).node(k).row_lower.tolist() for k in (1, 2)] == [[4], [6]]
    times = STOCH.replace("INDEP         DISCRETE", "INDEP DISCRETE MULTIPLY")
    assert [read(stoch=times).node(k).row_lower.tolist() for k in (1, 2)] == [[4], [8]]


def test_blocks_inherit_from_their_first_realisation() -> None:
    body = """ BL B1 P2 0.5
    RHS NEED1 4.0
    Y COST 7.0 NEED1 2.0
 BL B1 P2 0.5
    Y COST 8.0
 BL B2 P3 1.0
    UP BND Z 6.0
    X NEED2 0.5
"""
    program = read(stoch=scenarios(body, "BLOCKS DISCRETE"))
    first, second, leaf = (program.node(k) for k in (1, 2, 3))
    assert (first.cost.tolist(), second.cost.tolist()) == ([7.0], [8.0])
    assert first.own.toarray().tolist() == second.own.toarray().tolist() == [[2.0]]
    assert first.row_lower.tolist() == second.row_lower.tolist() == [4.0]
    assert leaf.upper.tolist() == [6.0, np.inf]
    assert leaf.to_ancestors[0].toarray().tolist() == [[0.5]]


def test_what_is_known_early_reaches_the_nodes_that_use_it() -> None:
    """An element of the third period that becomes known in the second."""
    body = " BL B P2 0.5\n RHS NEED2 3\n BL B P2 0.5\n RHS NEED2 6\n"
    program = read(stoch=scenarios(body, "BLOCKS"))
    assert program.parent.tolist() == [-1, 0, 0, 1, 2]
    assert [program.node(k).row_lower.tolist() for k in (3, 4)] == [[3.0], [6.0]]


def test_scenarios_share_the_nodes_of_their_parents() -> None:
    body = """ SC S1 'ROOT' 0.5 P1
    RHS NEED1 4.0
    RHS NEED2 5.0
 SC S2 S1 0.25 P3
    RHS NEED2 6.0
 SC S3 S1 0.25 P2
    RHS NEED1 3.0
"""
    program = read(stoch=scenarios(body))
    assert program.parent.tolist() == [-1, 0, 0, 1, 1, 2]
    assert program.conditional.tolist() == pytest.approx([1, 0.75, 0.25, 2 / 3, 1 / 3, 1])
    assert program.nodes == ("root", "S1/P2", "S3/P2", "S1", "S2", "S3")
    assert [program.node(k).row_lower.tolist() for k in range(1, 6)] == [[4], [3], [5], [6], [5]]


def test_scenarios_from_the_root_share_the_core_s_path() -> None:
    body = " SC S1 ROOT 0.5 P3\n RHS NEED2 4\n SC S2 ROOT 0.5 P3\n RHS NEED2 6\n"
    program = read(stoch=scenarios(body))
    assert program.parent.tolist() == [-1, 0, 1, 1]


def test_names_that_differ_in_case_only() -> None:
    core = CORE.replace("    RHS ", "    rhs ")
    body = " sc S1 'Root' 0.5 p2\n RHS need1 4\n SC S2 root 0.5 P2\n rhs NEED1 5\n"
    program = read(core, TIME, scenarios(body).replace("\n", "\r\n"))
    assert [program.node(k).row_lower.tolist() for k in (1, 2)] == [[4], [5]]


def test_elements_that_the_core_does_not_name_are_zero_there() -> None:
    body = " SC S1 ROOT 0.5 P2\n SC S2 ROOT 0.5 P2\n X SPARE 3\n U COST 2\n Y NEED2 4\n"
    program = read(stoch=scenarios(body))
    blocks = [program.node(int(leaf)).to_ancestors[1].toarray().tolist() for leaf in program.leaves]
    assert blocks == [[[0.0]], [[4.0]]]
    assert [program.node(int(leaf)).cost.tolist() for leaf in program.leaves] == [[3, 0], [3, 2]]


def test_rounded_probabilities_are_scaled() -> None:
    body = "".join(f" SC S{k} ROOT 0.3333 P2\n RHS NEED1 {k}\n" for k in range(3))
    assert read(stoch=scenarios(body)).conditional[1:4].tolist() == pytest.approx([1 / 3] * 3)


# --- size and samples --------------------------------------------------------------------------------------


def wide(count: int) -> tuple[str, str, str]:
    """A program with 3 ** count scenarios."""
    rows = "".join(f" G r{k}\n" for k in range(count))
    columns = "".join(f" y{k} obj 1 r{k} 1\n" for k in range(count))
    core = f"NAME wide\nROWS\n N obj\n L c\n{rows}COLUMNS\n x obj 1 c 1\n{columns}RHS\n r c 1\nENDATA\n"
    time = "TIME wide\nPERIODS\n x c P1\n y0 r0 P2\nENDATA\n"
    body = "".join(f" RHS r{k} {v} P2 {p}\n" for k in range(count) for v, p in ((1, 0.2), (2, 0.3), (3, 0.5)))
    return core, time, f"STOCH wide\nINDEP DISCRETE\n{body}ENDATA\n"


def test_large_products_are_refused_at_once() -> None:
    (fault,) = refused(*wide(400))
    assert "scenarios" in fault and "at most 200000 nodes; draw scenarios" in fault
    (fault,) = refused(*wide(3), most_nodes=10)
    assert fault.startswith("stoch: found 27 scenarios, 28 nodes (27), expected at most 10 nodes; draw")


def test_a_sample_of_a_large_product() -> None:
    program = read(*wide(40), scenarios=500, seed=3)
    assert program.conditional[1:].sum() == pytest.approx(1.0)
    assert len(program) == 501
    values = np.array([program.node(int(leaf)).row_lower for leaf in program.leaves])
    mean = program.conditional[1:] @ values
    assert mean == pytest.approx(np.full(40, 2.3), abs=0.15)  # 4 standard errors
    assert read(*wide(40), scenarios=500, seed=3).sha256 == program.sha256
    assert read(*wide(40), scenarios=500, seed=4).sha256 != program.sha256


def test_equal_draws_become_one_scenario() -> None:
    program = read(*wide(1), scenarios=1000)
    assert len(program) == 4
    assert program.conditional[1:].tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.06)


def test_samples_of_several_periods_and_of_scenarios() -> None:
    program = read(scenarios=[20, 10], seed=1)
    assert program.stage.max() == 2 and program.conditional[program.parent == 0].sum() == pytest.approx(1)
    assert "2 numbers >= 1" in refused(scenarios=20)[0]
    body = "".join(f" SC S{k} ROOT 0.1 P2\n RHS NEED1 {k}\n" for k in range(10))
    drawn = read(time=TWO, stoch=scenarios(body), scenarios=4, seed=1)
    assert 2 <= len(drawn) <= 5 and set(drawn.nodes[1:]) <= {f"S{k}" for k in range(10)}
    assert "two periods" in refused(stoch=scenarios(body), scenarios=[4, 1])[0]


# --- faults ------------------------------------------------------------------------------------------------

CORE_FAULTS = [
    (" L  CAP", " Q  CAP", 'core line 4: found "Q"'),
    (" L  CAP", " L", "core line 4: found 1 words"),
    (" G  NEED1", " G  CAP", 'core line 5: found row "CAP" again'),
    (" N  COST\n", "", "core"),
    ("    Y         COST             2.0", "    X         COST             2.0", 'in row "COST" again'),
    ("CAP              1.0", "CAPP             1.0", 'core line 9: found "CAPP"'),
    ("CAP              1.0", "CAP              1.O", 'core line 9: found "1.O"'),
    ("CAP              1.0", "CAP              nan", 'core line 9: found "nan"'),
    ("CAP              1.0", "CAP             1e25", 'core line 9: found "1e25"'),
    ("CAP              1.0", "CAP", "core line 9: found 4 words"),
    ("RHS\n", "RHS\n    R2        CAP              8.0\n", 'found a second set "RHS"'),
    ("RHS\n", "RHS\n    RHS       CAP              8.0\n", 'found row "CAP" again'),
    ("ENDATA", "BOUNDS\n SC BND       X         4\nENDATA", 'core line 19: found "SC"'),
    ("ENDATA", "BOUNDS\n UP BND       Q         4\nENDATA", 'core line 19: found "Q"'),
    ("ENDATA", "BOUNDS\n UP BND       X        -4\nENDATA", "lower bound (LO or MI)"),
    ("ENDATA", "BOUNDS\n LO BND X 4\n UP BND X 3\nENDATA", "found lower 4, upper 3"),
    ("ENDATA", "BOUNDS\n UP BND X 4\n UP BND X 3\nENDATA", "a second upper bound"),
    ("ENDATA", "BOUNDS\n LO BND X 1e30\nENDATA", "found inf"),
    ("ENDATA", "QUADOBJ\n X X 1\nENDATA", 'found "QUADOBJ"'),
    ("ENDATA\n", "", "found the end of the file, expected ENDATA"),
    ("COLUMNS\n", "", "found 5 words"),
    ("ROWS\n", "", 'found "N COST"'),
    ("RHS\n", "ROWS\n", "found a second section ROWS"),
    ("RHS\n", "RANGES\n    R         COST             2.0\nRHS\n", "none of type N"),
    ("NAME          SMALL\n", "OBJSENSE\n    UP\n", 'found "UP", expected MAX or MIN'),
]


@pytest.mark.parametrize(("old", "new", "expected"), CORE_FAULTS)
def test_faults_of_the_core(old: str, new: str, expected: str) -> None:
    assert old in CORE
    faults = refused(core=CORE.replace(old, new, 1))
    assert any(expected in fault for fault in faults), faults


TIME_FAULTS = [
    ("PERIODS", "PERIODS       SOME", 'time line 2: found "SOME"'),
    ("PERIODS\n", "", "found"),
    ("    Y         NEED1", "    W         NEED1", 'time line 4: found "W"'),
    ("    Y         NEED1", "    Y         NEED", 'time line 4: found "NEED"'),
    ("NEED2                    P3", "NEED2                    P2", 'found period "P2" again'),
    ("    X         CAP", "    Y         CAP", 'time line 3: found "Y"'),
    ("    Z         NEED2", "    Z         CAP", "in the core's order"),
    ("    X         CAP", "    X         NEED1", "found"),
    ("    Y         NEED1", "    Y", "time line 4: found 2 words"),
    ("    Y         NEED1", "    Y         SPARE", "in each row only columns"),
    ("ENDATA\n", "", "expected ENDATA"),
]


@pytest.mark.parametrize(("old", "new", "expected"), TIME_FAULTS)
def test_faults_of_the_time_file(old: str, new: str, expected: str) -> None:
    assert old in TIME
    faults = refused(time=TIME.replace(old, new, 1))
    assert any(expected in fault for fault in faults), faults


STOCH_FAULTS = [
    ("INDEP         DISCRETE", "INDEP         UNIFORM", "only discrete laws are read"),
    ("INDEP         DISCRETE", "CHANCE", 'stoch line 2: found "CHANCE"'),
    ("INDEP         DISCRETE\n", "", 'stoch line 2: found "RHS NEED1'),
    ("2.0     P2        0.5", "2.0     P2        0.7", "add up to 1.2"),
    ("2.0     P2        0.5", "2.0     P2       -0.5", "a probability from 0 to 1"),
    ("2.0     P2        0.5", "2.0     P7        0.5", 'stoch line 3: found "P7"'),
    ("2.0     P2        0.5", "2.0     P3        0.5", "an element of P2, expected one of P3"),
    ("2.0     P2        0.5", "2.0", "stoch line 3: found 3 words"),
    ("2.0     P2        0.5", "two     P2        0.5", 'stoch line 3: found "two"'),
    ("    RHS       NEED1            2.0", "    SHR       NEED1            2.0", 'found "SHR"'),
    ("    RHS       NEED1            2.0", "    RHS       NEED9            2.0", 'found "NEED9"'),
    ("    RHS       NEED1            2.0     P2", "    RHS       COST 2.0 P2", "random constant"),
    ("    RHS       NEED1            2.0     P2", "    RHS       CAP 2.0 P1", "a period after the first"),
    ("ENDATA", "SCENARIOS\nENDATA", "SCENARIOS alone"),
    ("ENDATA", "BLOCKS\n BL B P2 1\n RHS NEED1 7\nENDATA", "each element random once"),
    ("ENDATA", "BLOCKS\n RHS NEED1 7\nENDATA", "begins with BL or SC"),
    ("ENDATA", "BLOCKS\n BL B P2 .5\n BL B P3 .5\nENDATA", "each block in one period"),
    ("ENDATA\n", "", "expected ENDATA"),
]


@pytest.mark.parametrize(("old", "new", "expected"), STOCH_FAULTS)
def test_faults_of_the_stoch_file(old: str, new: str, expected: str) -> None:
    assert old in STOCH
    faults = refused(stoch=STOCH.replace(old, new, 1))
    assert any(expected in fault for fault in faults), faults


SCENARIO_FAULTS = [
    (" SC A ROOT 1 P2\n SC A ROOT 0 P2\n", 'scenario "A" again'),
    (" SC A B 1 P2\n", 'found "B", expected ROOT or a scenario before it'),
    (" SC A ROOT 0.4 P2\n", "add up to 0.4"),
    (" SC A ROOT 1\n", "found 4 words"),
    (" SC A ROOT 1 P3\n RHS NEED1 3\n", "an element of P2, expected one of P3"),
    (" SC A ROOT 0.5 P1\n RHS CAP 3\n SC B ROOT 0.5 P1\n", "differ in the first period"),
    (" SC A ROOT 1 P2\n RHS NEED1 3\n RHS NEED1 4\n", "right-hand side of NEED1 again"),
    ("", "nothing random"),
]


@pytest.mark.parametrize(("body", "expected"), SCENARIO_FAULTS)
def test_faults_of_scenarios(body: str, expected: str) -> None:
    faults = refused(stoch=scenarios(body))
    assert any(expected in fault for fault in faults), faults


def test_all_faults_of_a_file_at_once() -> None:
    core = CORE.replace("8.0", "x").replace("9.0", "y").replace(" L  CAP", " K  CAP")
    assert len(refused(core=core)) == 3


def test_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "core.cor"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(InvalidInput, match="byte 0: found byte 0x89"):
        read_smps(path, io.StringIO(TIME), io.StringIO(STOCH))


@given(st.integers(0, 10**6))
def test_mangled_files_are_read_or_refused(seed: int) -> None:
    """Cut, doubled, swapped and scribbled on: a program, or faults with file and line."""
    chance = random.Random(seed)
    body = " SC S1 ROOT 0.5 P1\n RHS NEED1 4.0\n SC S2 S1 0.25 P3\n X NEED2 2\n SC S3 S1 0.25 P2\n"
    blocks = " BL B P2 0.5\n Y COST 7 NEED1 2\n BL B P2 0.5\n RHS NEED1 1\n UP BND Y 3\n"
    stoch = chance.choice([STOCH, scenarios(body), scenarios(blocks, "BLOCKS DISCRETE ADD")])
    texts = [CORE.replace("ENDATA", "RANGES\n R CAP 3\nBOUNDS\n UP B X 9\nENDATA"), TIME, stoch]
    words = [word for text in texts for word in text.split()] + ["-1", "nan", "1e400", "\x00", "'", "é", "*"]
    for _ in range(chance.randint(1, 4)):
        k = chance.randrange(3)
        lines = texts[k].split("\n")
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 3:
                lines = lines[:at]
            case 4:
                lines[at] = " " + lines[at].strip() if chance.random() < 0.5 else lines[at].strip()
            case 5:
                lines[at] = lines[at] + " " + chance.choice(words)
            case _:
                split = lines[at].split() or [""]
                split[chance.randrange(len(split))] = chance.choice(words)
                lines[at] = lines[at][:1].replace("\t", " ") + " ".join(split)
        texts[k] = "\n".join(lines)
    try:
        program = read(*texts)
    except InvalidInput as refusal:
        for fault in refusal.faults:
            assert fault.path.split()[0] in ("core", "time", "stoch"), str(fault)
    else:
        assert program.probability[program.leaves].sum() == pytest.approx(1.0)
        assert StochasticProgram.from_json(program.to_json()).sha256 == program.sha256


@pytest.mark.skipif(
    not SMPS.is_dir(), reason=f"published data is not at {SMPS}: it is no part of the project"
)
@given(st.integers(0, 10**6))
def test_mangled_published_files_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    texts = [(SMPS / f"electric/LandS.{end}").read_text() for end in ("cor", "tim", "sto")]
    k = chance.randrange(3)
    letters = list(texts[k])
    for _ in range(chance.randint(1, 5)):
        letters[chance.randrange(len(letters))] = chance.choice(" \n\t-.0159ARX*'")
    texts[k] = "".join(letters)
    try:
        read(*texts)
    except InvalidInput as refusal:
        for fault in refusal.faults:
            assert fault.path.split()[0] in ("core", "time", "stoch"), str(fault)
