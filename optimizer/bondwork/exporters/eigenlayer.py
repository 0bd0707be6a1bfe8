"""A plan as the allocations CSV of eigenlayer-cli: which share of a stake each operator set may slash.

``eigenlayer operator allocations update --csv-file`` reads the columns ``avs_address``, ``operator_set_id``,
``strategy_address`` and ``bips``; bips are ten-thousandths of the operator's whole magnitude in a strategy,
and what stands there replaces what was.

References
----------
github.com/Layr-Labs/eigenlayer-cli: ``pkg/operator/allocations``.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bondwork.exporters.matching import check_plan
from bondwork.importers.documents import parse_toml
from bondwork.problem.faults import Fault, InvalidInput, Refusal, faults_of_schema, preview
from bondwork.problem.reading import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.plan.plan import Plan

COLUMNS = ("avs_address", "operator_set_id", "strategy_address", "bips")

#: Bips of a whole magnitude.
WHOLE = 10_000

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OperatorSet(_Record):
    """An operator set, and the tasks that are done for it."""

    avs_address: Address
    operator_set_id: int = Field(ge=0, lt=2**32)
    strategy_address: Address | None = Field(None, description="Absent: the file's.")
    tasks: list[str] = Field(min_length=1, description="Ids, or patterns such as rollup-*.")


class Sets(_Record):
    """What is read of a file of operator sets."""

    strategy_address: Address | None = None
    sets: list[OperatorSet] = Field(min_length=1)


def read_sets(data: bytes, name: str = "sets.toml") -> Sets:
    """Read the file that says which task belongs to which operator set.

    Raises
    ------
    InvalidInput
        With every fault.
    """
    document: Any = parse_toml(data, name)
    try:
        sets = Sets.model_validate(document)
    except ValidationError as error:
        names = {*Sets.model_fields, *OperatorSet.model_fields}
        faults = faults_of_schema(error.errors(include_url=False), document, names)
        raise InvalidInput([Fault(f"{name} {f.path}", f.found, f.expected) for f in faults]) from None
    faults = []
    seen: set[tuple[str, int, str]] = set()
    for number, each in enumerate(sets.sets):
        strategy = each.strategy_address or sets.strategy_address
        if strategy is None:
            path = f"{name} $.sets[{number}].strategy_address"
            faults.append(Fault(path, "nothing", "an address, here or for the whole file"))
            continue
        key = each.avs_address.lower(), each.operator_set_id, strategy.lower()
        if key in seen:
            found = "an operator set and strategy that stood before"
            faults.append(Fault(f"{name} $.sets[{number}]", found, "each once"))
        seen.add(key)
    if faults:
        raise InvalidInput(faults)
    return sets


def allocations(
    document: Mapping[str, Any], plan: Plan, sets: Sets, operator: str | None = None
) -> list[tuple[str, int, str, int]]:
    """Work out the allocations that let a plan's tasks be slashed, and no more.

    An operator set gets the share of the operator's stake that its tasks could slash together, commitments
    included, rounded up to a bip. Sets without a task get 0: the CSV says what is to be, not what changes.

    Parameters
    ----------
    document, plan
        The round and its plan.
    sets
        Which task belongs where.
    operator
        Whose allocations; may be left out where the round has one operator.

    Returns
    -------
    list
        Rows of `COLUMNS`.

    Raises
    ------
    InvalidInput
        The plan is not this round's; a task belongs to no set or to several; no such operator.
    Refusal
        The operator's stake is not limited, so that no share of it says anything; or rounding up asks for
        more than all of it.
    """
    instance = read_document(dict(document))
    check_plan(instance, plan)
    stake = _stake(document, operator)
    name, amount = stake
    wanted = _slashable(document, plan, name)
    needed = [Decimal(0)] * len(sets.sets)
    faults = []
    for task, slashing in wanted.items():
        homes = [
            number
            for number, each in enumerate(sets.sets)
            if any(task == pattern or fnmatchcase(task, pattern) for pattern in each.tasks)
        ]
        if len(homes) == 1:
            needed[homes[0]] += slashing
        else:
            found = "no operator set" if not homes else f"{len(homes)} operator sets"
            faults.append(Fault(f"task {preview(task)}", found, "one, in the file of operator sets"))
    if faults:
        raise InvalidInput(faults)
    rows = []
    for each, slashing in zip(sets.sets, needed, strict=True):
        strategy = each.strategy_address or sets.strategy_address or ""
        share = slashing / amount * WHOLE if slashing else Decimal(0)
        bips = int(share.to_integral_value(ROUND_CEILING))
        rows.append((each.avs_address, each.operator_set_id, strategy, bips))
    _check_sums(rows, name)
    return rows


def write_allocations(rows: list[tuple[str, int, str, int]]) -> str:
    """Write allocations as CSV."""
    return "\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]) + "\n"


def _stake(document: Mapping[str, Any], operator: str | None) -> tuple[str, Decimal]:
    """The operator and its stake."""
    operators = {each["id"]: each for each in document.get("operators", [])}
    if operator is None and len(operators) == 1:
        (operator,) = operators
    if operator is None or operator not in operators:
        found = "several operators" if operator is None else preview(operator)
        raise InvalidInput([Fault("operator", found, f"one of {', '.join(operators) or 'none'}")])
    stake = operators[operator].get("stake")
    if stake is None or Decimal(str(stake)) == 0:
        raise Refusal([f"allocations of {operator}, whose stake is {'not limited' if stake is None else 0}"])
    return operator, Decimal(str(stake))


def _slashable(document: Mapping[str, Any], plan: Plan, operator: str) -> dict[str, Decimal]:
    """What each task that the operator has could slash, once for a task."""
    tasks = {each["id"]: each for each in document["tasks"]}
    mine = [each.task for each in plan.assignments if each.operator == operator]
    mine += [each["task"] for each in document.get("commitments", []) if each["operator"] == operator]
    found = {}
    for name in mine:
        claims = tasks[name].get("claims")
        claim = (
            tasks[name] if claims is None else next(each for each in claims if each["operator"] == operator)
        )
        found[name] = Decimal(str(claim.get("slashing") or 0))
    return found


def _check_sums(rows: list[tuple[str, int, str, int]], operator: str) -> None:
    sums: dict[str, int] = {}
    for _, _, strategy, bips in rows:
        sums[strategy.lower()] = sums.get(strategy.lower(), 0) + bips
    over = [f"{total} bips in strategy {strategy}" for strategy, total in sums.items() if total > WHOLE]
    if over:
        raise Refusal(
            f"{each} of {operator}: each set is rounded up to a bip, and {WHOLE} are all" for each in over
        )
