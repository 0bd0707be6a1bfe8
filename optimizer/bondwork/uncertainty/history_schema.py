"""The schema of a history of outcomes: ``bondwork.history/1``. Past this module there are arrays."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema

_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Outcome(_Record):
    """What one executor did in one round. Entries of one round and executor add up."""

    round: Annotated[str, Field(min_length=1, description="Label of the round; any text.")]
    executor: Annotated[str, Field(min_length=1, description="Id of a coprocessor or operator.")]
    done: _Count = Field(description="Pieces of work that it had.")
    failed: _Count = Field(description="How many of them failed; at most done.")


class History(_Record):
    """Outcomes of past rounds, from which scenarios are resampled. At least two rounds."""

    format: Literal["bondwork.history/1"]
    outcomes: list[Outcome] = Field(min_length=1)


def rows_of_document(document: Any) -> list[tuple[str, str, int, int]]:
    """Check a JSON document and return its rows: round, executor, done, failed.

    Raises
    ------
    InvalidInput
        With every fault and its JSON path.
    """
    try:
        read = History.model_validate(document)
    except ValidationError as error:
        names = {*History.model_fields, *Outcome.model_fields}
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None
    faults = [
        Fault(f"$.outcomes[{number}].failed", str(each.failed), f"at most done, {each.done}")
        for number, each in enumerate(read.outcomes)
        if each.failed > each.done
    ]
    if faults:
        raise InvalidInput(faults)
    return [(each.round, each.executor, each.done, each.failed) for each in read.outcomes]
