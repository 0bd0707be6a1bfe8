"""SMPS files as stochastic programs: a core, a time and a stoch file.

The core file is a deterministic program in MPS form, the time file cuts its rows and columns into periods,
the stoch file says what is random. Read are `bondwork.importers.mps_core`'s sections, implicit and explicit
periods, and discrete INDEP, BLOCKS and SCENARIOS sections in the modes REPLACE, ADD and MULTIPLY. ADD and
MULTIPLY start from the core's value, in a scenario from its parent's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.importers.mps_core import is_fixed, read_core
from bondwork.importers.smps_lines import Reader, refuse
from bondwork.importers.smps_stoch import read_stoch
from bondwork.importers.smps_time import read_time
from bondwork.importers.smps_tree import TreeMaker
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.program.resampling import sampler_of
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.importers.mps_core import Core
    from bondwork.importers.smps_lines import Source
    from bondwork.importers.smps_stoch import Element
    from bondwork.importers.smps_time import Periods
    from bondwork.importers.smps_tree import Node
    from bondwork.program.resampling import ProgramSampler

#: Larger trees are refused: their extensive form would hardly fit into memory.
MOST_NODES = 200_000


def read_smps(
    core: Source,
    time: Source,
    stoch: Source,
    *,
    scenarios: int | Sequence[int] | None = None,
    seed: int = 0,
    most_nodes: int = MOST_NODES,
) -> StochasticProgram:
    """Read a stochastic program from its three SMPS files.

    Parameters
    ----------
    core, time, stoch
        Paths of files, or open text files.
    scenarios
        Draw this many scenarios instead of expanding all (sample average approximation); in a program of
        more than two periods, the number of children to draw for each node, by period after the first. Equal
        draws become one scenario with their share.
    seed
        Of the draws.
    most_nodes
        Refuse trees with more nodes than this.

    Returns
    -------
    StochasticProgram
        Nodes of a scenario tree bear the scenario's name; those of a product are numbered.

    Raises
    ------
    InvalidInput
        With every fault, its file and line.
    OSError
        A file cannot be read.

    Examples
    --------
    >>> import io
    >>> core = '''NAME toy
    ... ROWS
    ...  N profit
    ...  L stock
    ... OBJSENSE
    ...  MAX
    ... COLUMNS
    ...  x profit -1 stock -1
    ...  y profit 3 stock 1
    ... BOUNDS
    ...  UP b x 10
    ...  UP b y 2
    ... ENDATA
    ... '''
    >>> time = '''TIME toy
    ... PERIODS
    ...  x profit TODAY
    ...  y stock TOMORROW
    ... ENDATA
    ... '''
    >>> stoch = '''STOCH toy
    ... INDEP DISCRETE
    ...  UP b y 2 TOMORROW 0.5
    ...  UP b y 6 TOMORROW 0.5
    ... ENDATA
    ... '''
    >>> program = read_smps(io.StringIO(core), io.StringIO(time), io.StringIO(stoch))
    >>> len(program), [program.node(leaf).upper.tolist() for leaf in program.leaves]
    (3, [[2.0], [6.0]])
    """
    files = _Files(core, time, stoch, most_nodes)
    return files.program(_draws(scenarios, len(files.periods.names)), seed)


def smps_sampler(core: Source, time: Source, stoch: Source) -> ProgramSampler:
    """Read the three files once, and return what draws two-stage programs of them.

    Parameters
    ----------
    core, time, stoch
        As for `read_smps`.

    Returns
    -------
    ProgramSampler
        For `bondwork.program.saa`: called with a number of scenarios and a seed. A program of more than two
        periods is expanded once, and the children of its root are what is drawn, each with all below it.

    Raises
    ------
    InvalidInput
        As `read_smps`.
    """
    files = _Files(core, time, stoch, MOST_NODES)
    if len(files.periods.names) != 2:
        return sampler_of(files.program(None, 0))

    def draw(scenarios: int, seed: int) -> StochasticProgram:
        return files.program([scenarios], seed)

    return draw


class _Files:
    """The content of the three files, checked."""

    def __init__(self, core: Source, time: Source, stoch: Source, most_nodes: int) -> None:
        core_reader = Reader(core, "core")
        core_reader.fixed = is_fixed(core_reader)
        time_reader = Reader(time, "time", fixed=core_reader.fixed)
        stoch_reader = Reader(stoch, "stoch", fixed=core_reader.fixed)
        # a file is checked against the ones before it, so only what is wrong with sound predecessors is told
        refuse(core_reader, time_reader, stoch_reader)
        self.core = read_core(core_reader)
        refuse(core_reader)
        self.periods = read_time(time_reader, self.core)
        refuse(time_reader)
        self.random = read_stoch(stoch_reader, self.core, self.periods)
        refuse(stoch_reader)
        self.maker = TreeMaker(self.core, self.periods, stoch_reader, most_nodes)

    def program(self, draws: list[int] | None, seed: int) -> StochasticProgram:
        """Make the whole program, or one of so many draws."""
        return _program(self.core, self.periods, self.maker.make(self.random, draws, seed), self.maker)


def _draws(scenarios: int | Sequence[int] | None, stages: int) -> list[int] | None:
    if scenarios is None:
        return None
    draws = [scenarios] if isinstance(scenarios, int) else list(scenarios)
    if len(draws) != stages - 1 or any(each < 1 for each in draws):
        expected = f"{stages - 1} numbers >= 1, one for each period after the first"
        raise InvalidInput([Fault("scenarios", ", ".join(map(str, draws)), expected)])
    return draws


def _program(core: Core, periods: Periods, nodes: Sequence[Node], maker: TreeMaker) -> StochasticProgram:
    touched = dict.fromkeys(element for node in nodes for element in node.state)
    templates, places = _templates(core, periods, [e for e in touched if e[0] == "entry"], maker)
    position: list[int] = []
    value: list[float] = []
    counts = [0]
    for node in nodes:
        before = len(position)
        for element, new in node.state.items():
            if maker.stage_of(element) != node.stage:
                continue
            for at, number in _placed(element, new, core, places):
                position.append(at)
                value.append(number)
        counts.append(len(position) - before)
    return StochasticProgram(
        name=core.name,
        sense=core.sense,
        stages=periods.names,
        templates=tuple(templates),
        template=np.array([node.stage for node in nodes], dtype=np.int64),
        parent=np.array([node.parent for node in nodes], dtype=np.int64),
        conditional=np.array([node.probability for node in nodes]),
        nodes=tuple(node.name for node in nodes),
        change_start=np.cumsum(counts, dtype=np.int64),
        change_position=np.array(position, dtype=np.int64),
        change_value=np.array(value, dtype=np.float64),
    )


def _templates(
    core: Core, periods: Periods, random_entries: Sequence[Element], maker: TreeMaker
) -> tuple[list[NodeTemplate], dict[Element, int]]:
    """One template a period, and where each element of the core stands in its values."""
    column_place, row_place = _ranks(periods.column_stage), _ranks(_constraint_stages(core, periods))
    cells = {cell: each for cell, each in core.entries.items() if core.types[cell[1]] != "N"}
    for _, column, row in random_entries:
        cells.setdefault((column, row), 0.0)  # random, though the core does not name it
    templates, places = [], {}
    for stage in range(len(periods.names)):
        columns = [k for k in range(len(core.columns)) if periods.column_stage[k] == stage]
        rows = [k for k in range(len(core.rows)) if core.types[k] != "N" and periods.row_stage[k] == stage]
        own = [(cell, each) for cell, each in cells.items() if periods.row_stage[cell[1]] == stage]
        limits = [core.column_limits(k) for k in columns]
        row_limits = [core.row_limits(k, core.rhs.get(k, 0.0)) for k in rows]
        template = NodeTemplate.make(
            stage,
            [core.columns[k] for k in columns],
            [core.rows[k] for k in rows],
            cost=[maker.value(("cost", k, 0)) for k in columns],
            lower=[low for low, _ in limits],
            upper=[high for _, high in limits],
            integer=[core.integer[k] for k in columns],
            row_lower=[low for low, _ in row_limits],
            row_upper=[high for _, high in row_limits],
            entries=[
                (row_place[row], periods.column_stage[column], column_place[column], each)
                for (column, row), each in own
            ],
            constant=-core.rhs.get(core.objective, 0.0) if stage == 0 else 0.0,
        )
        templates.append(template)
        start = {name: span.start for name, span in template.spans.items()}
        for k in columns:
            places["cost", k, 0] = start["cost"] + column_place[k]
            places["lower", k, 0] = start["lower"] + column_place[k]
            places["upper", k, 0] = start["upper"] + column_place[k]
        for k in rows:
            places["row_lower", k, 0] = start["row_lower"] + row_place[k]
            places["row_upper", k, 0] = start["row_upper"] + row_place[k]
        for k, ((column, row), _) in enumerate(own):
            places["entry", column, row] = start["entries"] + k
    return templates, places


def _constraint_stages(core: Core, periods: Periods) -> list[int]:
    return [-1 if kind == "N" else stage for kind, stage in zip(core.types, periods.row_stage, strict=True)]


def _ranks(stages: Sequence[int]) -> list[int]:
    """Place of each row or column among those of its stage, in the order of the core."""
    counts: dict[int, int] = {}
    ranks = []
    for stage in stages:
        ranks.append(counts.get(stage, 0))
        counts[stage] = ranks[-1] + 1
    return ranks


def _placed(element: Element, new: float, core: Core, places: dict[Element, int]) -> list[tuple[int, float]]:
    """Where a new value of an element goes: a right-hand side sets two limits, a fixed bound too."""
    kind, first, _ = element
    if kind == "rhs":
        lower, upper = core.row_limits(first, new)
        return [(places["row_lower", first, 0], lower), (places["row_upper", first, 0], upper)]
    if kind == "fixed":
        return [(places["lower", first, 0], new), (places["upper", first, 0], new)]
    return [(places[element], new)]
