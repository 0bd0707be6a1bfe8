"""The strategy: who may come in, how the program is taken apart, and what is handed out."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bondwork.contracts import Observer, Options, ProgramDecision
from bondwork.observing import Hearing, in_one_line
from bondwork.problem.faults import Refusal
from bondwork.program.matrices import Matrices
from bondwork.settings import Setting, read_settings
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Status
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.strategies.l_shaped.batch import Batch
    from bondwork.strategies.l_shaped.engine import Engine
    from bondwork.strategies.l_shaped.shards import Team

#: Clusters of scenarios where nobody says how many.
CLUSTERS = 100

#: Scenarios up to which each has its own cut where nobody says otherwise.
MOST_SINGLE_CLUSTERS = 200


class LShaped:
    """Decide two-stage programs by cuts: a master problem proposes, the scenarios tell what it is worth.

    Continuous recourse is solved exactly whatever the first stage is; recourse with whole columns where every
    column of the first stage that a scenario sees is yes or no. Recourse need not be there for every first
    stage.

    When not to use it: below some hundreds of scenarios `extensive` is as fast and simpler; with weak
    relaxations of whole recourse it may have to look at very many first stages.
    """

    #: Recourse is solved scenario by scenario.
    most_stages = 2
    takes_linking = False

    summary = (
        "Two-stage programs of many scenarios by cuts, solved warm and in parallel: exact, with a proof."
    )

    settings: ClassVar[dict[str, Setting]] = {
        "cuts": Setting(
            "auto", "Clusters of scenarios, each with a cut a step.", ("auto", "single", "multi"), least=1
        ),
        "regularise": Setting("trust", "Keep steps of the relaxation in a trust region.", ("trust", "no")),
        "tighten": Setting(
            "root",
            "Lower cuts as far as whole columns in recourse allow: at the root, at every step, or never.",
            ("root", "always", "no"),
        ),
        "processes": Setting("auto", "Processes that solve scenarios.", ("auto",), least=1, most=1024),
    }

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`.

        Raises
        ------
        Refusal
            The program has other than two stages, rows that link scenarios, or whole columns in recourse that
            a first stage of other than yes or no can reach.
        """
        chosen = read_settings(self, options.settings, "strategy l-shaped")
        _refuse(program)
        deadline = time.perf_counter() + options.time_limit
        building = time.perf_counter()
        first, batches, notes = _take_apart(program, chosen["cuts"])
        linking = _linking(batches, len(first.objective))
        clusters = 1 + max(int(each.cluster.max()) for each in batches)
        team, told = _team(batches, first, options, observer, chosen["processes"])
        build = time.perf_counter() - building
        from bondwork.strategies.l_shaped.engine import Engine
        from bondwork.strategies.l_shaped.master import Master

        hearing = Hearing(observer)
        whole_recourse = any(each.integer.any() for each in batches)
        try:
            engine = Engine(
                first,
                Master(first, clusters, options),
                team,
                linking,
                whole_recourse=whole_recourse,
                options=options,
                observer=hearing,
                deadline=deadline,
                trust=chosen["regularise"] == "trust",
                tighten=chosen["tighten"],
            )
            start = _mean_start(first, batches, options, hearing, deadline)
            status, note = _run(engine, start, hearing)
            nodes = None
            if engine.best is not None:
                parts = engine.y or _decide(team, engine.best, deadline)
                nodes = None if parts is None else _nodes(program, batches, engine.best, parts)
        finally:
            team.close()
        notes += [*told, f"{clusters} cuts a step, {engine.evaluations} first stages looked at"]
        if note:
            notes.append(note)
        bound = engine.bound if engine.best is None else max(engine.bound, engine.value)
        return ProgramDecision(status, bound, engine.best, nodes, tuple(notes), build=build)


def _run(engine: Engine, start: FloatArray | None, hearing: Hearing) -> tuple[Status, str]:
    """Run; what was found before an unexpected error is kept, what the observer raised goes back to it."""
    try:
        return engine.run(start)
    except Exception as error:
        if error is hearing.error or engine.best is None:
            raise
        return "other_error", f"l-shaped failed: {in_one_line(error)}"


def _refuse(program: StochasticProgram) -> None:
    reasons = []
    if len(program.stages) != 2:
        reasons.append(f"l-shaped takes programs of two stages, this one has {len(program.stages)}")
    if len(program.linking) or len(program.linking.joint_node):
        reasons.append("l-shaped solves scenarios one by one, and rows of this program link them")
    if not reasons and any(program.templates[k].integer.any() for k in np.unique(program.template[1:])):
        root = program.node(0)
        seen = np.zeros(len(root.cost), dtype=bool)
        for kind in np.unique(program.template[1:]):
            template = program.templates[kind]
            seen[template.entry_column[template.entry_stage == 0]] = True
        binary = program.template_of(0).integer & (root.lower >= 0.0) & (root.upper <= 1.0)
        if np.any(seen & ~binary):
            names = [program.template_of(0).columns[k] for k in np.flatnonzero(seen & ~binary)[:3]]
            reasons.append(
                "l-shaped takes whole columns in recourse only where the first stage is yes or no, and "
                f"{', '.join(names)} of it is not"
            )
    if reasons:
        raise Refusal([f"{reason}: extensive takes it" for reason in reasons])


def _take_apart(program: StochasticProgram, cuts: str) -> tuple[Matrices, list[Batch], list[str]]:
    """First stage, scenarios by template (and part), and notes."""
    from bondwork.strategies.l_shaped.batch import make_batches, strengthened
    from bondwork.strategies.l_shaped.shards import MOST_PARTS, PART_ENTRIES

    sign = 1.0 if program.sense == "max" else -1.0
    root = program.node(0)
    matrix = root.own
    matrix.sort_indices()
    first = Matrices(
        sign * root.cost,
        sign * program.constant,
        matrix,
        root.row_lower,
        root.row_upper,
        root.lower,
        root.upper,
        program.template_of(0).integer,
        row_tolerance=program.row_tolerance,
    )
    notes, batches = [], []
    added = 0
    for each in make_batches(program, _clusters(len(program), cuts)):
        stronger, rows = strengthened(each, first)
        added += rows
        batches.append(stronger)
    if added:
        notes.append(f"{added} rows added that strengthen the linear relaxation of recourse")
    entries = sum(len(each) * each.own.shape[1] for each in batches)
    whole = any(each.integer.any() for each in batches)
    parts = min(MOST_PARTS, 1 + entries // (PART_ENTRIES // 10 if whole else PART_ENTRIES))
    return first, [part for each in batches for part in _parts(each, parts)], notes


def _clusters(nodes: int, cuts: str) -> IntArray:
    """Cluster of each node: runs of nodes of equal length. Shape (N,)."""
    scenarios = nodes - 1
    if cuts == "single":
        count = 1
    elif cuts == "multi":
        count = scenarios
    elif cuts == "auto":
        count = scenarios if scenarios <= MOST_SINGLE_CLUSTERS else CLUSTERS
    else:
        count = min(int(cuts), scenarios)
    return np.append(0, np.arange(scenarios) * count // scenarios)


def _parts(batch: Batch, count: int) -> list[Batch]:
    """Cut a batch at the ends of clusters' runs or within them, whatever gives equal parts."""
    ends = np.linspace(0, len(batch), min(count, len(batch)) + 1).astype(int)
    return [batch.part(int(a), int(b)) for a, b in itertools.pairwise(ends)]


def _linking(batches: list[Batch], width: int) -> BoolArray:
    linking = np.zeros(width, dtype=bool)
    for each in batches:
        linking[each.link_column] = True
    return linking


def _team(
    batches: list[Batch], first: Matrices, options: Options, observer: Observer, processes: str
) -> tuple[Team, list[str]]:
    """Choose where the scenarios are solved, and say so where it is not here."""
    from bondwork.strategies.l_shaped.shards import (
        LEAST_ENTRIES_FOR_PROCESSES,
        LEAST_WHOLE_ENTRIES_FOR_PROCESSES,
        Elsewhere,
        Here,
    )

    whole = any(each.integer.any() for each in batches)
    least = LEAST_WHOLE_ENTRIES_FOR_PROCESSES if whole else LEAST_ENTRIES_FOR_PROCESSES
    entries = sum(len(each) * each.own.shape[1] for each in batches)
    count = 1
    if processes != "auto":
        count = int(processes)
    elif entries >= least:
        count = options.threads or _processors()
    count = min(count, len(batches))
    if count < 2:
        return Here(batches, first, options, observer), []
    return Elsewhere(batches, first, options, observer, count), [f"scenarios solved by {count} processes"]


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _mean_start(
    first: Matrices, batches: list[Batch], options: Options, observer: Observer, deadline: float
) -> FloatArray | None:
    """Solve the relaxed mean problem for a first stage to begin with; ``None`` where there is none."""
    from scipy.sparse import block_array, csr_array

    batch = max(batches, key=lambda each: float(each.weight.sum()))
    total = batch.weight.sum()
    if total <= 0.0:
        return None

    def mean(lines: FloatArray) -> FloatArray:
        if len(lines) == 1:
            return np.asarray(lines[0])
        with np.errstate(invalid="ignore"):
            found = batch.weight @ np.nan_to_num(lines, posinf=0.0, neginf=0.0) / total
        return np.asarray(np.where(np.isfinite(lines).all(axis=0), found, lines[0]))

    m = batch.row_lower.shape[1]
    own = csr_array((mean(batch.own), (batch.own_row, batch.own_column)), shape=(m, batch.columns))
    link = csr_array((mean(batch.link), (batch.link_row, batch.link_column)), shape=(m, batch.width))
    matrix = csr_array(block_array([[first.matrix, None], [link, own]], format="csr"))
    matrix.sort_indices()
    program = Matrices(
        np.append(first.objective, mean(batch.cost)),
        first.offset,
        matrix,
        np.append(first.row_lower, mean(batch.row_lower)),
        np.append(first.row_upper, mean(batch.row_upper)),
        np.append(first.lower, mean(batch.lower)),
        np.append(first.upper, mean(batch.upper)),
        np.append(first.integer, batch.integer),
    )
    left = max(deadline - time.perf_counter(), 0.0)
    answer = solve_program(
        program, dataclasses.replace(options, time_limit=left), observer, relaxed=True, phase="mean problem"
    )
    return answer.x[: batch.width] if answer.status == "optimal" and answer.x is not None else None


def _decide(team: Team, x: FloatArray, deadline: float) -> list[FloatArray] | None:
    """Recourse of every part at a first stage, also where somebody said stop; ``None`` where time is up."""
    answers = team.ask("decide", x, deadline)
    return [each.y for each in answers] if all(each.status == "optimal" for each in answers) else None


def _nodes(
    program: StochasticProgram, batches: list[Batch], x: FloatArray, parts: list[FloatArray]
) -> list[FloatArray]:
    """Decisions in the order of the nodes."""
    nodes: list[FloatArray] = [x] * len(program)
    for batch, lines in zip(batches, parts, strict=True):
        for node, y in zip(batch.nodes.tolist(), lines, strict=True):
            nodes[node] = y
    return nodes
