"""The schemas of scenario trees in files, ``bondwork.tree/1``, and of what they are drawn from.

The latter is ``bondwork.tree-spec/1``: laws by stage. Past this module there are arrays and laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from bondwork.problem.faults import InvalidInput, faults_of_schema

_Index = Annotated[int, Field(ge=-1, lt=2**53)]
_Whole = Annotated[int, Field(ge=0, lt=2**64)]
_Count = Annotated[int, Field(ge=1, le=10_000_000)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Tree(_Record):
    """A scenario tree of N nodes in T stages; nodes stage by stage, and in the order of their parents."""

    format: Literal["bondwork.tree/1"]
    stage: list[_Index] = Field(min_length=1, description="Shape (N,). Ascending, from 0.")
    parent: list[_Index] = Field(description="Shape (N,). Ascending; -1 at the root.")
    conditional_probability: list[_Share] = Field(
        description="Shape (N,). Given the parent; 1 at the root, sum 1 over the children of a node."
    )
    names: list[list[str]] | None = Field(None, description="T lists: names of the columns of each stage.")
    values: list[list[list[float]]] = Field(
        min_length=1, description="T tables: one row for each node of the stage, one column for each name."
    )
    sha256: str | None = Field(None, description="Digest of the content; one that does not match is refused.")


class Lognormal(_Record):
    """A positive amount with this mean and coefficient of variation."""

    law: Literal["lognormal"]
    mean: _Positive
    cv: Annotated[float, Field(ge=0.0)]


class Normal(_Record):
    """A normal number."""

    law: Literal["normal"]
    mean: float
    sd: Annotated[float, Field(ge=0.0)]


class Uniform(_Record):
    """Any number between two, equally likely."""

    law: Literal["uniform"]
    low: float
    high: float


class Values(_Record):
    """One of some values."""

    law: Literal["values"]
    values: list[float] = Field(min_length=1)
    probabilities: list[_Share] = Field(min_length=1)


class Bootstrap(_Record):
    """One of what was observed."""

    law: Literal["bootstrap"]
    values: list[float] = Field(min_length=1)


class Poisson(_Record):
    """Number of independent arrivals."""

    law: Literal["poisson"]
    mean: Annotated[float, Field(ge=0.0)]


class NegativeBinomial(_Record):
    """Number of arrivals in bursts: variance mean + dispersion * mean**2."""

    law: Literal["negative_binomial"]
    mean: Annotated[float, Field(ge=0.0)]
    dispersion: _Positive


class Outage(_Record):
    """1 with this probability, else 0."""

    law: Literal["outage"]
    probability: _Share


class Overrun(_Record):
    """Actual over estimated work."""

    law: Literal["overrun"]
    factor: Law


class Beta(_Record):
    """A probability that is a distribution itself: Beta(mean * concentration, (1 - mean) * concentration)."""

    mean: _Share
    concentration: _Positive


Named = Annotated[
    Lognormal | Normal | Uniform | Values | Bootstrap | Poisson | NegativeBinomial | Outage | Overrun,
    Field(discriminator="law"),
]


def _form(given: object) -> str:
    """Which form of a law is meant, so that only faults of that one are told."""
    if isinstance(given, Mapping):
        return "named" if "law" in given else "beta"
    if isinstance(given, BaseModel):
        return "beta" if isinstance(given, Beta) else "named"
    return "number"


Law = Annotated[
    Annotated[float, Tag("number")] | Annotated[Beta, Tag("beta")] | Annotated[Named, Tag("named")],
    Discriminator(_form),
]


class Correlation(_Record):
    """Correlation of two columns of one stage, of the normal numbers behind their quantiles."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)]
    value: Annotated[float, Field(ge=-1.0, le=1.0)]


class Stage(_Record):
    """What becomes known at one stage."""

    branching: _Count = Field(description="Children of each node of the stage before.")
    laws: dict[str, Law] = Field(min_length=1, description="Name of each column, and its law.")
    correlation: list[Correlation] = Field([], description="Pairs left out are independent.")
    moves: dict[str, Literal["replaces", "adds", "multiplies"]] = Field(
        {}, description="What a draw does to the value of the same name at the parent; replaces if left out."
    )
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1


class TreeSpec(_Record):
    """What a tree is drawn from: laws by stage."""

    format: Literal["bondwork.tree-spec/1"]
    method: str = Field("sobol", description="Name of an installed sampler.")
    seed: _Whole = 0
    root: dict[str, float] = Field({}, description="Names and values of what is known from the start.")
    stages: list[Stage] = Field(min_length=1)


Overrun.model_rebuild()
Stage.model_rebuild()

_RECORDS = (Tree, TreeSpec, Stage, Correlation, Beta, Lognormal, Normal, Uniform, Values, Bootstrap, Poisson,
            NegativeBinomial, Outage, Overrun)  # fmt: skip


def read_tree_document(document: Any) -> Tree:
    """Check the form of a ``bondwork.tree/1``.

    Raises
    ------
    InvalidInput
        With every fault and its JSON path.
    """
    tree: Tree = _validated(Tree, document)
    return tree


def read_spec_document(document: Any) -> TreeSpec:
    """Check the form of a ``bondwork.tree-spec/1``.

    Raises
    ------
    InvalidInput
        With every fault and its JSON path.
    """
    spec: TreeSpec = _validated(TreeSpec, document)
    return spec


def _validated(kind: Any, document: Any) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        names = {name for record in _RECORDS for name in record.model_fields}
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None
