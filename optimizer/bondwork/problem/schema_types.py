"""Types of the fields of a round in JSON: amounts, quantities, probabilities, ids."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

#: Largest number that a round may hold: products of two and sums of a million of them stay finite.
LARGEST = 1e150


def _decimal_schema(least: float, sign: str, message: str) -> CoreSchema:
    """Core schema of a JSON number or a decimal string, ``least`` to `LARGEST`."""
    number = core_schema.float_schema(strict=True, ge=least, le=LARGEST, allow_inf_nan=False)
    # at most 200 characters: more digits than any amount below LARGEST can need
    text = core_schema.str_schema(
        strict=True, pattern=rf"^{sign}[0-9]{{1,151}}(\.[0-9]{{1,200}})?$", regex_engine="rust-regex"
    )
    parsed = core_schema.chain_schema(
        [text, core_schema.float_schema(strict=False, ge=least, le=LARGEST, allow_inf_nan=False)]
    )
    return core_schema.custom_error_schema(
        core_schema.union_schema([number, parsed], mode="left_to_right"),
        custom_error_type="amount",
        custom_error_message=message,
    )


class DecimalAmount:
    """Core schema of an amount: a JSON number, or a decimal string for those who fear rounding on the way."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return _decimal_schema(0.0, "", f'an amount from 0 to {LARGEST:g}, such as 12.5 or "12.5"')


class DecimalBalance:
    """Core schema of what is left of an amount: as `DecimalAmount`, but below 0 where something is owed."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        message = f'an amount from {-LARGEST:g} to {LARGEST:g}, such as 12.5, "12.5" or -3'
        return _decimal_schema(-LARGEST, "-?", message)


Amount = Annotated[float, DecimalAmount]
Balance = Annotated[float, DecimalBalance]
Quantity = Annotated[float, Field(ge=0.0, le=LARGEST, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Level = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
Text = Annotated[
    str, Field(max_length=1_000_000)
]  # a limit has pydantic look at the text: valid Unicode only
Id = Annotated[str, Field(min_length=1)]


def whole(value: Any) -> Any:
    """Take 18.0 for 18, as JSON Schema does: some programs write all their numbers so."""
    return int(value) if type(value) is float and value.is_integer() else value


def stage_number(value: Any) -> Any:
    """Take 1.0 for 1 and 2.0 for 2, but not true for 1."""
    if isinstance(value, bool):  # True is 1 to a Literal
        raise PydanticCustomError("stage", "1 or 2")
    return whole(value)


Whole = Annotated[int, BeforeValidator(whole)]
Resources = dict[Id, Quantity]


class Record(BaseModel):
    """An object that refuses fields it does not know and never changes a type behind one's back."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
