"""The file that says what to compare: ``bondwork.study/1``, where it comes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.problem.records import Record, read_record

STUDY_FORMAT = "bondwork.study/1"

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class GeneratedRound(Record):
    """A random round, as `bondwork generate` makes it."""

    tasks: Count = 100
    coprocessors: Count = 10
    offers: Count = 5
    seed: int = Field(0, ge=0)
    tightness: Positive = 0.8
    risk_level: float = Field(0.95, ge=0.0, lt=1.0)
    risk_budget: NotNegative | None = None


class StudyRound(Record):
    """One round or stochastic program: a file (relative to the study's own folder), or one to be made."""

    name: str | None = Field(None, description="As the table calls it; the round's own name where left out.")
    file: str | None = None
    generate: GeneratedRound | None = None


class StudyStrategy(Record):
    """One strategy with its options; what is left out is the study's."""

    strategy: str
    name: str | None = Field(None, description="As the table calls it; the strategy's name where left out.")
    formulation: str = "highs"
    time_limit: NotNegative | None = None
    mip_rel_gap: NotNegative | None = None
    threads: int | None = Field(None, ge=0)
    highs: dict[str, bool | int | float | str] = {}
    settings: dict[str, bool | int | float | str] = Field({}, description="The strategy's own settings.")


class OutOfSample(Record):
    """Fresh scenarios on which every plan is measured; the same ones for all strategies."""

    scenarios: Count = 5000
    level: float = Field(0.95, ge=0.0, lt=1.0, description="Of the CVaR of the slashing loss.")


class StudyFile(Record):
    """Rounds x strategies x replications."""

    format: Literal["bondwork.study/1"]
    name: str = ""
    rounds: list[StudyRound] = Field(min_length=1)
    strategies: list[str | StudyStrategy] = Field(min_length=1)
    replications: Count = 1
    seed: int = Field(0, ge=0)
    time_limit: NotNegative | None = None
    mip_rel_gap: NotNegative = 1e-4
    threads: int = Field(0, ge=0)
    target_gaps: list[Positive] = [0.05, 0.01, 0.001]
    out_of_sample: OutOfSample | None = OutOfSample()
    value: bool = Field(False, description="Work out WS, EEV, EVPI and VSS where there is recourse.")


def is_study(document: Any) -> bool:
    """Whether a document says that it is a study."""
    return isinstance(document, dict) and document.get("format") == STUDY_FORMAT


def parse_study(source: bytes | dict[str, Any]) -> StudyFile:
    """Check a study document.

    Raises
    ------
    InvalidInput
        With every fault at its path.
    """
    study = read_record(StudyFile, source)
    faults = [
        Fault(f"$.rounds[{i}]", preview(each.model_dump(exclude_none=True)), "either file or generate")
        for i, each in enumerate(study.rounds)
        if (each.file is None) == (each.generate is None)
    ]
    if faults:
        raise InvalidInput(faults)
    return study
