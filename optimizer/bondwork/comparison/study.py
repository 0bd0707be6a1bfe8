"""What is compared: subjects (rounds and stochastic programs), contenders (strategies), replications."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bondwork.comparison.study_schema import GeneratedRound, StudyFile, StudyStrategy, parse_study
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.problem.instance import Instance
from bondwork.problem.reading import load, read_document
from bondwork.program.program_schema import is_program, load_program
from bondwork.program.stochastic import StochasticProgram
from bondwork.registry import compared_strategies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bondwork.uncertainty.history import OutcomeHistory

Problem: TypeAlias = Instance | StochasticProgram

#: A problem, or where to read one: a path, the bytes of a document, or a document.
Source: TypeAlias = Problem | str | Path | bytes | Mapping[str, Any]

#: Key under a study's seed of the seeds of its replications.
_REPLICATIONS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A round or a stochastic program, and what the table calls it."""

    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Contender:
    """A strategy with its formulation and options, and what the table calls it.

    ``settings`` are the strategy's own; the other options are those of `bondwork.solve`.
    """

    name: str
    strategy: str
    formulation: str = "highs"
    time_limit: float = math.inf
    mip_rel_gap: float = 1e-4
    threads: int = 0
    highs: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measuring:
    """Fresh scenarios on which plans are measured, and the level of the CVaR of their loss."""

    scenarios: int = 5000
    level: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Subjects x contenders x replications.

    Attributes
    ----------
    subjects, contenders, replications
        Every contender solves every subject in every replication.
    seed
        Replication 0 uses it as it is (``None``: each round's own); further ones use seeds derived from it.
        All contenders of one subject and replication share the seed: common random numbers.
    target_gaps
        Gaps whose first reaching is timed, descending.
    measuring
        ``None``: plans are not measured on fresh scenarios.
    value
        Work out WS, EEV, EVPI and VSS where there is recourse.
    risk_form
        See `bondwork.solve`.
    """

    subjects: tuple[Subject, ...]
    contenders: tuple[Contender, ...]
    replications: int = 1
    seed: int | None = None
    target_gaps: tuple[float, ...] = (0.05, 0.01, 0.001)
    measuring: Measuring | None = field(default_factory=Measuring)
    value: bool = False
    risk_form: str = "auto"

    def cells(self) -> list[tuple[int, int, int]]:
        """Every (subject, replication, contender), in the order of the table."""
        return [
            (s, r, c)
            for s in range(len(self.subjects))
            for r in range(self.replications)
            for c in range(len(self.contenders))
        ]

    def seed_of(self, subject: int, replication: int) -> int:
        """Seed that all contenders use on a subject in a replication."""
        problem = self.subjects[subject].problem
        own = problem.uncertainty.seed if isinstance(problem, Instance) else 0
        seed = own if self.seed is None else self.seed
        if replication == 0:
            return seed
        key = (_REPLICATIONS, subject, replication)
        return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0] >> 1)

    def beside(self, history: OutcomeHistory) -> Study:
        """Return the study with every round beside a history; see `bondwork.with_history`.

        Raises
        ------
        InvalidInput
            The history holds nothing of some executor of a round.
        """
        from bondwork.uncertainty.bootstrap import with_history

        subjects = tuple(
            replace(each, problem=with_history(each.problem, history))
            if isinstance(each.problem, Instance)
            else each
            for each in self.subjects
        )
        return replace(self, subjects=subjects)

    def digest(self) -> str:
        """What tells this study from every other: a journal of one is no journal of another."""
        told = {
            "subjects": [(each.name, *_digests(each.problem)) for each in self.subjects],
            "contenders": [asdict(each) | {"time_limit": str(each.time_limit)} for each in self.contenders],
            "replications": self.replications,
            "seed": self.seed,
            "target_gaps": self.target_gaps,
            "measuring": None if self.measuring is None else asdict(self.measuring),
            "value": self.value,
            "risk_form": self.risk_form,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _digests(problem: Problem) -> tuple[str, ...]:
    """What tells a problem from every other: its content, and the history beside it."""
    past = problem.uncertainty.history if isinstance(problem, Instance) else None
    return (problem.sha256,) if past is None else (problem.sha256, past.sha256)


def make_study(
    rounds: Iterable[Source] | Source,
    *,
    strategies: Sequence[str] | None = None,
    formulations: Sequence[str] = ("highs",),
    replications: int = 1,
    seed: int | None = None,
    time_limit: float = math.inf,
    mip_rel_gap: float = 1e-4,
    threads: int = 0,
    highs: Mapping[str, bool | int | float | str] | None = None,
    risk_form: str = "auto",
    scenarios: int = 5000,
    level: float = 0.95,
    value: bool = False,
) -> Study:
    """Make a study of rounds, each with every strategy and formulation; see `bondwork.compare`.

    Without ``strategies`` all that take what the rounds are, but for ``auto`` and the presets of HiGHS.

    Raises
    ------
    InvalidInput
        Faults of a round.
    """
    if isinstance(rounds, str | Path | bytes | Instance | StochasticProgram | Mapping):
        rounds = [rounds]
    subjects = _subjects(rounds)
    if strategies is None:
        strategies = _all_strategies(subjects)
    strategies = [strategies] if isinstance(strategies, str) else strategies
    formulations = [formulations] if isinstance(formulations, str) else formulations
    names: set[str] = set()
    contenders = tuple(
        Contender(
            name=unlike(strategy if len(formulations) == 1 else f"{strategy}/{formulation}", names),
            strategy=strategy,
            formulation=formulation,
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            highs=dict(highs or {}),
        )
        for strategy in strategies
        for formulation in formulations
    )
    return Study(
        subjects=subjects,
        contenders=contenders,
        replications=replications,
        seed=seed,
        measuring=Measuring(scenarios, level) if scenarios else None,
        value=value,
        risk_form=risk_form,
    )


def read_study(source: str | Path | bytes | dict[str, Any], folder: Path | None = None) -> Study:
    """Read a study and everything that it names.

    Parameters
    ----------
    source
        A path, the document's bytes, or the document.
    folder
        Where relative file names start; the study's own folder for a path, else the current one.

    Raises
    ------
    InvalidInput
        With every fault of the study; or of the first round that has faults, after its file's name.
    """
    if isinstance(source, str | Path):
        folder = Path(source).parent if folder is None else folder
        source = Path(source).read_bytes()
    file = parse_study(source)
    folder = folder or Path()
    names: set[str] = set()
    subjects = []
    for number, each in enumerate(file.rounds):
        problem: Problem
        if each.generate is not None:
            spec = each.generate
            problem = _generated(spec, f"$.rounds[{number}].generate")
            name = each.name or f"{spec.tasks} x {spec.coprocessors} x {spec.offers}, seed {spec.seed}"
        else:
            data = _bytes(folder / str(each.file), f"$.rounds[{number}].file")
            problem = read_problem(data, str(each.file))
            name = each.name or problem.name or str(each.file)
        subjects.append(Subject(unlike(name, names), problem))
    return Study(
        subjects=tuple(subjects),
        contenders=_contenders(file),
        replications=file.replications,
        seed=file.seed,
        target_gaps=tuple(sorted(set(file.target_gaps), reverse=True)),
        measuring=None
        if file.out_of_sample is None
        else Measuring(file.out_of_sample.scenarios, file.out_of_sample.level),
        value=file.value,
    )


def _subjects(rounds: Iterable[Source]) -> tuple[Subject, ...]:
    names: set[str] = set()
    subjects = []
    for number, each in enumerate(rounds):
        fallback = str(each) if isinstance(each, str | Path) else f"round {number + 1}"
        problem = _problem(each, fallback)
        subjects.append(Subject(unlike(problem.name or fallback, names), problem))
    return tuple(subjects)


def _all_strategies(subjects: tuple[Subject, ...]) -> list[str]:
    found: list[str] = []
    if any(isinstance(each.problem, Instance) for each in subjects):
        found += compared_strategies("rounds")
    if any(isinstance(each.problem, StochasticProgram) for each in subjects):
        found += compared_strategies("programs")
    return list(dict.fromkeys(found))


def _problem(source: Source, where: str) -> Problem:
    match source:
        case Instance() | StochasticProgram():
            return source
        case str() | Path():
            return read_problem(Path(source).read_bytes(), where)
        case bytes():
            return read_problem(source, where)
        case _:
            return load_program(source) if is_program(source) else load(source)


def read_problem(data: bytes, where: str) -> Problem:
    """Read a round or a stochastic program, by what it says it is; faults name the file."""
    try:
        document = parse_document(data)
        return load_program(document) if is_program(document) else read_document(document)
    except InvalidInput as error:
        named = [Fault(f"{where}: {each.path}", each.found, each.expected) for each in error.faults]
        raise InvalidInput(named) from None


def unlike(name: str, names: set[str]) -> str:
    """Make a name that no other has, and remember it: hourly rounds are often called alike."""
    unique, number = name, 1
    while unique in names:
        number += 1
        unique = f"{name} ({number})"
    names.add(unique)
    return unique


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput([Fault(where, preview(str(path)), f"a file: {error.strerror}")]) from None


def _generated(spec: GeneratedRound, where: str) -> Instance:
    from bondwork.problem.generate import generate_round

    options = spec.model_dump()
    sizes = [options.pop(name) for name in ("tasks", "coprocessors", "offers", "seed")]
    try:
        document = generate_round(*sizes, **options)
    except ValueError as error:
        raise InvalidInput([Fault(where, preview(spec.model_dump()), str(error))]) from None
    return read_document(document)


def _contenders(file: StudyFile) -> tuple[Contender, ...]:
    written = [StudyStrategy(strategy=e) if isinstance(e, str) else e for e in file.strategies]
    limit = math.inf if file.time_limit is None else file.time_limit
    found = tuple(
        Contender(
            name=each.name or _name(each),
            strategy=each.strategy,
            formulation=each.formulation,
            time_limit=limit if each.time_limit is None else each.time_limit,
            mip_rel_gap=file.mip_rel_gap if each.mip_rel_gap is None else each.mip_rel_gap,
            threads=file.threads if each.threads is None else each.threads,
            highs=dict(each.highs),
            settings={name: _text(value) for name, value in each.settings.items()},
        )
        for each in written
    )
    counts = Counter(each.name for each in found)
    if faults := [
        Fault(f"$.strategies[{i}].name", f'"{each.name}"', "a name that no other strategy of the study has")
        for i, each in enumerate(found)
        if counts[each.name] > 1
    ]:
        raise InvalidInput(faults)
    return found


def _name(each: StudyStrategy) -> str:
    return each.strategy if each.formulation == "highs" else f"{each.strategy}/{each.formulation}"


def _text(value: bool | int | float | str) -> str:
    """A setting as the command line would give it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
