"""The file that says what to simulate: ``bondwork.simulation/1``, where it comes in."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bondwork.market.load_curve import LoadIncentive
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema, preview
from bondwork.reputation.models import make_reputation
from bondwork.simulation import rules as parts
from bondwork.simulation.rules import UNITS, Rules, Variant

SIMULATION_FORMAT = "bondwork.simulation/1"

_KEPT = re.compile(r"^[A-Za-z0-9._=+-]{1,80}$")


class SimulationFile(BaseModel):
    """A network, its variants, and how often each is simulated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["bondwork.simulation/1"]
    name: str = ""
    network: Rules = Field(default_factory=Rules, description="The network itself.")
    variants: list[Variant] = Field([], description="Simulated side by side; the network alone if left out.")
    replications: int = Field(1, ge=1, le=100_000)
    detail: Literal["first", "all", "none"] = Field(
        "first", description="Replications of which every participant's periods are kept."
    )


@dataclass(frozen=True, slots=True)
class Experiment:
    """Variants x replications, all on the same random numbers.

    Attributes
    ----------
    name
        What it is called.
    variants
        Rules by the name of each variant.
    replications
        How often each is simulated.
    detail
        Which replications keep everybody's periods.
    document
        As it was read.
    """

    name: str
    variants: dict[str, Rules]
    replications: int
    detail: Literal["first", "all", "none"]
    document: dict[str, Any]

    @property
    def digest(self) -> str:
        """What tells this experiment's results from those of any other; more replications keep it."""
        told = {name: dataclasses.asdict(rules) for name, rules in self.variants.items()}
        return sha256(json.dumps([told, self.detail], sort_keys=True).encode()).hexdigest()

    def keeps_detail(self, replication: int) -> bool:
        """Whether a replication keeps everybody's periods."""
        return self.detail == "all" or (self.detail == "first" and replication == 0)


def read_experiment(source: str | Path | bytes | dict[str, Any]) -> Experiment:
    """Read a simulation from a path, the document's bytes, or the document.

    Raises
    ------
    InvalidInput
        With every fault at its path; those of a variant say which.

    Examples
    --------
    >>> experiment = read_experiment({
    ...     "format": "bondwork.simulation/1",
    ...     "network": {"periods": 10},
    ...     "variants": [{"name": "mild", "changes": {"slashing.factor": 0.01}}],
    ... })
    >>> experiment.variants["mild"].slashing.factor
    0.01
    """
    if isinstance(source, str | Path):
        source = Path(source).read_bytes()
    document = parse_document(source) if isinstance(source, bytes) else source
    file = _validated(document)
    faults = _faults_of_rules(file.network, "$.network")
    names: set[str] = set()
    variants = {}
    for number, variant in enumerate(file.variants):
        path = f"$.variants[{number}]"
        if not _KEPT.match(variant.name):
            faults.append(Fault(f"{path}.name", preview(variant.name), "letters, digits and ._=+- only"))
        if variant.name in names:
            faults.append(Fault(f"{path}.name", preview(variant.name), "a name that no other has"))
        names.add(variant.name)
        try:
            variants[variant.name] = change(document, variant.changes)
        except InvalidInput as error:
            faults += [Fault(f"{path}.changes: {e.path}", e.found, e.expected) for e in error.faults]
    if faults:
        raise InvalidInput(faults)
    return Experiment(
        name=file.name,
        variants=variants or {"network": file.network},
        replications=file.replications,
        detail=file.detail,
        document=document,
    )


def change(document: dict[str, Any], changes: dict[str, Any]) -> Rules:
    """Return the network of a document with values at dotted names (``slashing.factor``) replaced.

    Raises
    ------
    InvalidInput
        With every fault of what comes of it.
    """
    network = copy.deepcopy(document.get("network", {}))
    for name, value in changes.items():
        *above, last = name.split(".")
        place = network
        for step in above:
            place = place.setdefault(step, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InvalidInput([Fault(f"$.{name}", "nothing", "a number of the network")])
        place[last] = value
    rules = _validated({"format": SIMULATION_FORMAT, "network": network}).network
    if faults := _faults_of_rules(rules, "$.network"):
        raise InvalidInput(faults)
    return rules


def _validated(document: Any) -> SimulationFile:
    try:
        # as JSON: dataclasses within come as objects there, and strictly typed all the same
        return SimulationFile.model_validate_json(json.dumps(document))
    except ValidationError as error:
        # dataclasses call an unknown field an unknown argument
        errors = [
            {**each, "type": "extra_forbidden"} if each["type"] == "unexpected_keyword_argument" else each
            for each in error.errors(include_url=False)
        ]
        raise InvalidInput(faults_of_schema(errors, document, _names())) from None  # type: ignore[arg-type]


def _names() -> set[str]:
    names = set(SimulationFile.model_fields)
    for each in vars(parts).values():
        if dataclasses.is_dataclass(each):
            names |= {field.name for field in dataclasses.fields(each)}
    return names


def _faults_of_rules(rules: Rules, at: str) -> list[Fault]:
    """What a type cannot say: sums, orders, models' parameters."""
    faults = []
    for name in ("operators", "coprocessors"):
        group = getattr(rules, name)
        if group.slots is not None and group.slots < group.number:
            faults.append(Fault(f"{at}.{name}.slots", str(group.slots), f"at least number, {group.number}"))
    split = rules.collateral
    shares = [split.burned, split.operator, split.rescuer, split.treasury]
    millionths = [round(share * UNITS) for share in shares]
    if sum(millionths) != UNITS or any(
        abs(share * UNITS - whole) > 1e-6 for share, whole in zip(shares, millionths, strict=True)
    ):
        expected = "shares that add up to 1, in whole millionths"
        faults.append(Fault(f"{at}.collateral", f"{shares}", expected))
    if rules.dependence.common + rules.dependence.coprocessor > 1.0 + 1e-12:
        found = f"common + coprocessor = {rules.dependence.common + rules.dependence.coprocessor:g}"
        faults.append(Fault(f"{at}.dependence", found, "shares of variance that add up to at most 1"))
    if rules.tasks.quorum > rules.tasks.replicas:
        found, most = str(rules.tasks.quorum), rules.tasks.replicas
        faults.append(Fault(f"{at}.tasks.quorum", found, f"at most replicas, {most}"))
    if rules.tasks.second_chance and rules.tasks.replicas > 1:
        expected = "false: a task with replicas has no second chance"
        faults.append(Fault(f"{at}.tasks.second_chance", "true", expected))
    if rules.tasks.offers > rules.coprocessor_slots:
        found, most = str(rules.tasks.offers), rules.coprocessor_slots
        faults.append(Fault(f"{at}.tasks.offers", found, f"at most the coprocessors there can be, {most}"))
    try:
        make_reputation(rules.reputation.model, rules.reputation.parameters).start(1)
    except (KeyError, TypeError):
        found, model = preview(rules.reputation.parameters), rules.reputation.model
        faults.append(Fault(f"{at}.reputation.parameters", found, f"the parameters of {model}"))
    curve = LoadIncentive(**rules.load_curve.parameters)
    if not curve.is_sound():
        found = f"B = {curve.B:g}, F = {curve.F:g}"
        faults.append(Fault(f"{at}.load_curve.parameters", found, "B other than 0 and F >= B"))
    return faults


def rules_to_document(rules: Rules) -> dict[str, Any]:
    """Write rules as JSON objects."""
    told: dict[str, Any] = TypeAdapter(Rules).dump_python(rules, mode="json")
    return told
