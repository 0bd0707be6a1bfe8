"""Order requests of Boundless as its own tools write them, with what a broker finds out beside them.

A request is what ``boundless requestor submit-file`` takes: ``id``, ``offer`` and much that planning does not
need, which is passed over. Beside it stand ``cycles`` (or ``mcycles``), which the broker knows from its
preflight, and ``locked`` for orders that it has locked.

References
----------
github.com/boundless-xyz/boundless: ``contracts/src/types/Offer.sol``, the CLI's example ``request.yaml``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from bondwork.importers.documents import parse_yaml
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema
from bondwork.problem.schema_types import (
    Probability,  # noqa: TC001 - pydantic reads it
    Quantity,  # noqa: TC001
)

#: Solidity's largest number.
_MOST = 2**256


def _whole(value: Any) -> int:
    """Take a whole number as Solidity's tools write it: a number, or decimal or 0x text."""
    number: int | None = None
    if isinstance(value, bool):
        number = None
    elif isinstance(value, int):
        number = value
    elif isinstance(value, str) and value.isascii() and len(value) <= 80:
        digits = value.lower().removeprefix("0x")
        base = 16 if value.lower().startswith("0x") else 10
        allowed = "0123456789abcdef" if base == 16 else "0123456789"
        if digits and set(digits) <= set(allowed):
            number = int(digits, base)
    if number is None or not 0 <= number < _MOST:
        raise PydanticCustomError("wei", 'a whole number >= 0, such as 1500, "1500" or "0x5dc"')
    return number


def _name(value: Any) -> str:
    """Take an id as a text; YAML reads an unquoted 0x... as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return hex(value)
    if isinstance(value, str) and value not in ("", "0"):
        return value
    raise PydanticCustomError("order_id", "an id other than 0, which the market would replace")


Wei = Annotated[int, BeforeValidator(_whole)]
OrderId = Annotated[str, BeforeValidator(_name)]


class Offer(BaseModel):
    """The reverse Dutch auction of an order: prices in wei, collateral in 10^-18 ZKC, times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    minPrice: Wei  # noqa: N815 - the market's names
    maxPrice: Wei  # noqa: N815
    rampUpStart: Wei = Field(  # noqa: N815
        validation_alias=AliasChoices("rampUpStart", "biddingStart"), description="Unix time."
    )
    rampUpPeriod: Wei  # noqa: N815
    lockTimeout: Wei  # noqa: N815
    timeout: Wei
    lockCollateral: Wei = Field(  # noqa: N815
        validation_alias=AliasChoices("lockCollateral", "lockStake")
    )


class Locked(BaseModel):
    """An order that this prover has locked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    price: Wei = Field(description="Price at the lock, in wei.")
    remainingCycles: Wei | None = Field(None, description="Absent: all of them.")  # noqa: N815


class Order(BaseModel):
    """A request with what the broker knows of it. Fields of the market that planning needs not are let be."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: OrderId
    offer: Offer
    cycles: Wei | None = Field(None, description="From the preflight.")
    mcycles: Quantity | None = Field(None, description="Instead of cycles: millions of them.")
    locked: Locked | None = None
    success_probability: Probability | None = Field(
        None, validation_alias=AliasChoices("success_probability", "successProbability")
    )

    @property
    def size(self) -> int:
        """Cycles to prove."""
        return self.cycles if self.cycles is not None else round((self.mcycles or 0.0) * 1e6)

    @property
    def deadline(self) -> int:
        """Unix time until which whoever locked the order has to deliver; after it the lock is slashed."""
        return self.offer.rampUpStart + self.offer.lockTimeout

    def megacycles(self) -> Decimal:
        """Millions of cycles, exactly."""
        return Decimal(self.size) / 10**6


def read_orders(data: bytes, name: str = "orders") -> list[Order]:
    """Read order requests: one, a list, ``{"orders": [...]}``, or several YAML documents.

    Raises
    ------
    InvalidInput
        With every fault: places, what was found and what was expected.
    """
    documents = parse_yaml(data, name)
    entries, path = _entries(documents)
    faults: list[Fault] = []
    orders: list[Order] = []
    names = {*Order.model_fields, *Offer.model_fields, *Locked.model_fields}
    for number, entry in enumerate(entries):
        try:
            order = Order.model_validate(entry)
        except ValidationError as error:
            found = faults_of_schema(error.errors(include_url=False), entry, names)
            faults += [Fault(path(number) + f.path[1:], f.found, f.expected) for f in found]
        else:
            faults += _contradictions(order, path(number))
            orders.append(order)
    seen: set[str] = set()
    for order in orders:
        if order.id in seen:
            faults.append(Fault(name, f"the order {order.id} again", "each order once"))
        seen.add(order.id)
    if faults:
        raise InvalidInput(faults)
    return orders


def _entries(documents: list[Any]) -> tuple[list[Any], Any]:
    """The requests of a file, and how to say where each of them is."""
    if len(documents) == 1:
        (document,) = documents
        if isinstance(document, dict) and isinstance(document.get("orders"), list):
            return document["orders"], lambda number: f"$.orders[{number}]"
        if isinstance(document, list):
            return document, lambda number: f"$[{number}]"
        return documents, lambda _number: "$"
    return documents, lambda number: f"document {number + 1} $"


def _contradictions(order: Order, path: str) -> list[Fault]:
    """What the market's contracts would refuse, and sizes that are missing."""
    offer, found = order.offer, []
    for name, least, most in (
        ("minPrice", "maxPrice", (offer.minPrice, offer.maxPrice)),
        ("rampUpPeriod", "lockTimeout", (offer.rampUpPeriod, offer.lockTimeout)),
        ("lockTimeout", "timeout", (offer.lockTimeout, offer.timeout)),
    ):
        if most[0] > most[1]:
            found.append(Fault(f"{path}.offer.{name}", str(most[0]), f"at most {least}, {most[1]}"))
    if (order.cycles is None) == (order.mcycles is None):
        what = "neither cycles nor mcycles" if order.cycles is None else "cycles and mcycles"
        found.append(Fault(path, what, "one of them, from the preflight"))
    elif order.size == 0:
        found.append(Fault(path, "0 cycles", "at least 1"))
    if order.locked is not None and (order.locked.remainingCycles or 0) > order.size:
        found.append(
            Fault(
                f"{path}.locked.remainingCycles", str(order.locked.remainingCycles), f"at most {order.size}"
            )
        )
    return found
