"""Trees from documents: from a file of laws (``bondwork.tree-spec/1``), or from what is random in a round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, Refusal, json_path, preview
from bondwork.registry import find_sampler
from bondwork.uncertainty.law_json import law_from_json
from bondwork.uncertainty.tree import ScenarioTree, TreeError
from bondwork.uncertainty.tree_sampling import correlation_factor, sample_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.laws import Law
    from bondwork.uncertainty.sampling import OutcomeMethod
    from bondwork.uncertainty.seeds import Seed
    from bondwork.uncertainty.tree_sampling import Transition
    from bondwork.uncertainty.tree_schema import Stage, TreeSpec

#: Larger trees are refused: nodes times columns, 8 bytes each.
MOST_NUMBERS = 200_000_000


def make_tree(
    spec: str | Path | bytes | Mapping[str, Any], *, seed: Seed | None = None, method: str | None = None
) -> ScenarioTree:
    """Draw a tree from laws by stage; see `bondwork.uncertainty.tree_schema.TreeSpec` for the form.

    Parameters
    ----------
    spec
        Path of a JSON file, its bytes, or the document as a mapping.
    seed, method
        Instead of the document's.

    Raises
    ------
    InvalidInput
        With every fault and its JSON path: laws with numbers out of range, correlations of unknown columns or
        that cannot be together, moves from a value that the stage before has not, too large a tree.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> tree = make_tree({
    ...     "format": "bondwork.tree-spec/1", "root": {"price": 5.0},
    ...     "stages": [{"branching": 3, "repeat": 2, "moves": {"price": "multiplies"},
    ...                 "laws": {"price": {"law": "lognormal", "mean": 1.0, "cv": 0.1},
    ...                          "arrivals": {"law": "poisson", "mean": 4.0}},
    ...                 "correlation": [{"between": ["price", "arrivals"], "value": 0.5}]}]})
    >>> tree.stages, len(tree.leaves), tree.names[1]
    (3, 9, ('price', 'arrivals'))
    """
    from bondwork.uncertainty.tree_schema import read_spec_document  # pydantic

    if isinstance(spec, Mapping):
        document: Any = dict(spec)
    else:
        document = parse_document(spec if isinstance(spec, bytes) else Path(spec).read_bytes())
    read = read_spec_document(document)
    faults: list[Fault] = []
    stages, places = _unrolled(read)
    laws = [_laws(stage, place, faults) for stage, place in zip(stages, places, strict=True)]
    matrices = [_matrix(stage, place, faults) for stage, place in zip(stages, places, strict=True)]
    before: tuple[str, ...] = tuple(read.root)
    for stage, place in zip(stages, places, strict=True):
        faults += _faults_of_moves(stage, place, before)
        before = tuple(stage.laws)
    faults += _faults_of_size(stages)
    name = read.method if method is None else method
    try:
        find_sampler(name)
    except InvalidInput as error:
        faults += [Fault("$.method", each.found, each.expected) for each in error.faults]
    if faults:
        raise InvalidInput(dict.fromkeys(faults))  # those of a repeated stage once
    return sample_tree(
        laws,
        [stage.branching for stage in stages],
        seed=read.seed if seed is None else seed,
        method=name,
        root=read.root,
        transition=_transition(stages, tuple(read.root)),
        correlation=matrices,
    )


def is_tree_spec(document: object) -> bool:
    """Whether a JSON document says that it holds laws by stage, so that one command can take rounds too."""
    return isinstance(document, Mapping) and str(document.get("format", "")).startswith("bondwork.tree-spec/")


def tree_of_round(
    instance: Instance,
    *,
    scenarios: int | None = None,
    seed: Seed | None = None,
    method: OutcomeMethod | None = None,
) -> ScenarioTree:
    """Draw the tree of what is random in a round.

    Without later periods it is a fan of the outcomes of its offers and commitments: columns bear their ids, 1
    is failure, and equal scenarios are one with their share. With later periods it is the round's own tree,
    of what is seen on entering each period.

    Parameters
    ----------
    instance
        The round, from `bondwork.load`; beside a history, outcomes are resampled from that.
    scenarios, seed, method
        Instead of the round's.

    Raises
    ------
    Refusal
        The table would be too large to write down: sample such rounds with
        `bondwork.uncertainty.sampling.sample_round`, which keeps failures sparse.
    """
    import dataclasses

    from bondwork.uncertainty.sampling import sample_round  # needs the whole sampling layer

    uncertainty = instance.uncertainty
    if uncertainty.sampling == "bootstrap" and uncertainty.history is None and method in (None, "bootstrap"):
        raise Refusal(["sampling by bootstrap needs a history of outcomes"])
    if any(len(period.offers) for period in instance.periods):
        from bondwork.uncertainty.horizon import horizon_tree

        if uncertainty.history is not None:
            raise Refusal(["a history beside a round with later periods: it knows nothing of them"])
        chosen = dataclasses.replace(
            uncertainty,
            scenarios=uncertainty.scenarios if scenarios is None else scenarios,
            sampling=uncertainty.sampling if method is None else method,
        )
        return horizon_tree(dataclasses.replace(instance, uncertainty=chosen), seed=seed).tree
    names = _unique([*instance.offers.ids, *instance.commitments.ids])
    count = uncertainty.scenarios if scenarios is None else scenarios
    if count * len(names) > MOST_NUMBERS:
        raise Refusal(
            [f"{count} scenarios of {len(names)} outcomes: at most {MOST_NUMBERS} numbers in a tree"]
        )
    sample = sample_round(instance, scenarios=count, seed=seed, method=method)
    table = np.hstack([sample.offers.dense(), sample.commitments.dense()])
    rows, times = np.unique(np.packbits(table, axis=1), axis=0, return_counts=True)
    distinct = np.unpackbits(rows, axis=1, count=table.shape[1]).astype(np.float64)
    return ScenarioTree.from_fan(distinct, times / count, names=names)


def _unique(names: list[str]) -> list[str]:
    """Names of columns: an offer for every operator that claims its task is several, which are numbered."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _unrolled(spec: TreeSpec) -> tuple[list[Stage], list[int]]:
    """Every stage as often as it is repeated, and the place of each in the document."""
    places = [place for place, stage in enumerate(spec.stages) for _ in range(stage.repeat)]
    return [spec.stages[place] for place in places], places


def _laws(stage: Stage, place: int, faults: list[Fault]) -> dict[str, Law]:
    laws: dict[str, Law] = {}
    for name, given in stage.laws.items():
        form = given if isinstance(given, float) else given.model_dump()
        try:
            laws[name] = law_from_json(form)
        except ValueError as error:
            found, _, expected = str(error).partition(", expected ")
            path = json_path(["stages", place, "laws", name])
            faults.append(Fault(path, found, expected or "a law with numbers in range"))
    return laws


def _matrix(stage: Stage, place: int, faults: list[Fault]) -> FloatArray | None:
    if not stage.correlation:
        return None
    at = {name: number for number, name in enumerate(stage.laws)}
    matrix = np.eye(len(at))
    given: set[frozenset[str]] = set()
    sound = True
    for number, each in enumerate(stage.correlation):
        path = json_path(["stages", place, "correlation", number, "between"])
        pair = frozenset(each.between)
        faults += [Fault(path, preview(name), "a column of this stage") for name in sorted(pair - at.keys())]
        if len(pair) != 2 or pair in given:
            faults.append(Fault(path, " and ".join(each.between), "two different columns, each pair once"))
        if len(pair) != 2 or pair in given or pair - at.keys():
            sound = False
            continue
        given.add(pair)
        i, j = (at[name] for name in each.between)
        matrix[i, j] = matrix[j, i] = each.value
    if sound:
        try:
            correlation_factor(matrix, len(at))
        except TreeError as error:
            path = json_path(["stages", place, "correlation"])
            faults.append(Fault(path, error.faults[0], "correlations that can be together"))
    return matrix


def _faults_of_moves(stage: Stage, place: int, before: tuple[str, ...]) -> list[Fault]:
    faults = []
    for name, move in stage.moves.items():
        path = json_path(["stages", place, "moves", name])
        if name not in stage.laws:
            faults.append(Fault(path, preview(name), "a column of this stage"))
        elif move != "replaces" and name not in before:
            faults.append(Fault(path, preview(move), "a column of this name at the stage before"))
    return faults


def _faults_of_size(stages: Sequence[Stage]) -> list[Fault]:
    width, numbers = 1, 0
    for stage in stages:
        width *= stage.branching
        numbers += width * (len(stage.laws) + 3)
        if numbers > MOST_NUMBERS:
            found = " x ".join(str(each.branching) for each in stages[:8])
            return [Fault("$.stages", f"branching {found}", f"a tree of at most {MOST_NUMBERS} numbers")]
    return []


def _transition(stages: Sequence[Stage], root: tuple[str, ...]) -> Transition | None:
    if not any(move != "replaces" for stage in stages for move in stage.moves.values()):
        return None
    names = [root, *(tuple(stage.laws) for stage in stages)]

    def move(number: int, before: FloatArray, draws: FloatArray) -> FloatArray:
        values = draws.copy()
        for name, how in stages[number - 1].moves.items():
            if how == "replaces":
                continue
            column, past = names[number].index(name), before[names[number - 1].index(name)]
            values[:, column] = past + draws[:, column] if how == "adds" else past * draws[:, column]
        return values

    return move
