"""A Boundless broker's ``broker.toml``: what it can prove, and what it wants for it.

References
----------
github.com/boundless-xyz/boundless: ``broker-template.toml``, ``prover_utils/config.rs``, whose defaults are
the ones here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from bondwork.importers.documents import parse_toml
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema

#: In which order the broker commits to what it could lock.
Priority = Literal["random", "shortest_expiry", "price", "cycle_price", "lock_price", "lock_cycle_price"]


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its asset, such as ``0.00002 USD``."""

    amount: Decimal
    asset: str


def _money(allowed: tuple[str, ...], default: str) -> BeforeValidator:
    def read(value: Any) -> Money:
        words = str(value).split() if isinstance(value, str | int | float) else []
        if isinstance(value, bool) or len(words) not in (1, 2):
            words = []
        try:
            amount = Decimal(words[0]) if words else Decimal("nan")
        except InvalidOperation:
            amount = Decimal("nan")
        asset = words[1] if len(words) == 2 else default
        if not amount.is_finite() or amount < 0 or asset not in allowed:
            raise PydanticCustomError(
                "money", f'an amount in {" or ".join(allowed)}, such as "0.5 {default}"'
            )
        return Money(amount, asset)

    return BeforeValidator(read)


class _Section(BaseModel):
    # a broker has many settings that planning needs not
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, arbitrary_types_allowed=True)


class Market(_Section):
    """The ``[market]`` section."""

    peak_prove_khz: float = Field(gt=0.0, description="Cycles proved in a millisecond.")
    min_mcycle_price: Annotated[Money, _money(("ETH", "USD"), "ETH")] = Field(
        Money(Decimal(0), "ETH"), validation_alias=AliasChoices("min_mcycle_price", "mcycle_price")
    )
    max_collateral: Annotated[Money, _money(("ZKC", "USD"), "ZKC")] | None = Field(
        None, validation_alias=AliasChoices("max_collateral", "max_stake")
    )
    max_concurrent_proofs: int = Field(
        1, ge=1, validation_alias=AliasChoices("max_concurrent_proofs", "max_concurrent_locks")
    )
    order_commitment_priority: Priority = Field(
        "cycle_price",
        validation_alias=AliasChoices("order_commitment_priority", "expired_order_fulfillment_priority"),
    )
    max_mcycle_limit: int = Field(8000, ge=0)
    min_mcycle_limit: int = Field(0, ge=0)
    min_deadline: int = Field(150, ge=0, description="Least seconds left before the deadline.")
    additional_proof_cycles: int = Field(2_270_000, ge=0, description="For assessor and set builder.")
    lockin_gas_estimate: int = Field(200_000, ge=0)
    fulfill_gas_estimate: int = Field(750_000, ge=0)
    groth16_verify_gas_estimate: int = Field(250_000, ge=0)

    @property
    def gas(self) -> int:
        """Gas of an order: locking, delivering, verifying."""
        return self.lockin_gas_estimate + self.fulfill_gas_estimate + self.groth16_verify_gas_estimate


class Batcher(_Section):
    """The ``[batcher]`` section."""

    block_deadline_buffer_secs: int = Field(120, ge=0, description="Kept free before a deadline.")


class Broker(_Section):
    """What is read of a broker.toml."""

    market: Market
    batcher: Batcher = Batcher()

    def seconds(self, cycles: int) -> float:
        """How long cycles take, with what each proof needs besides."""
        return (cycles + self.market.additional_proof_cycles) / (self.market.peak_prove_khz * 1e3)


def read_broker(data: bytes, name: str = "broker.toml") -> Broker:
    """Read a broker.toml.

    Raises
    ------
    InvalidInput
        With every fault of what is read; other settings are let be.
    """
    document = parse_toml(data, name)
    market = document.get("market")
    if isinstance(market, dict) and type(market.get("peak_prove_khz")) is int:
        with contextlib.suppress(OverflowError):  # left as it is, it is refused with the other faults
            market = {**market, "peak_prove_khz": float(market["peak_prove_khz"])}
            document = {**document, "market": market}
    try:
        return Broker.model_validate(document)
    except ValidationError as error:
        names = {*Market.model_fields, *Batcher.model_fields, *Broker.model_fields}
        faults = faults_of_schema(error.errors(include_url=False), document, names)
        raise InvalidInput([Fault(f"{name} {f.path}", f.found, f.expected) for f in faults]) from None
