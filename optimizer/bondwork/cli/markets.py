"""``bondwork import boundless``, ``bondwork export boundless|eigenlayer``: real markets in and out."""

from __future__ import annotations

import json
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bondwork import console
from bondwork.cli.app import export_group, import_group
from bondwork.cli.documents import hand_out, read_bytes
from bondwork.cli.parameters import OutOption, RoundArgument

if TYPE_CHECKING:
    from bondwork.market.locking import Rivals

PlanArgument = Annotated[str, typer.Argument(metavar="PLAN.json", help="Its plan.")]
OrdersArgument = Annotated[
    str, typer.Argument(metavar="ORDERS", help="Order requests, YAML or JSON; - reads standard input.")
]


@import_group.command("boundless")
def import_boundless(
    orders: OrdersArgument,
    broker: Annotated[Path, typer.Option(metavar="broker.toml", help="The broker's settings.")],
    eth_per_zkc: Annotated[str, typer.Option(metavar="ETH", help="Worth of one ZKC of collateral.")],
    now: Annotated[
        int | None, typer.Option(min=0, help="Unix time. [default: the clock's]", show_default=False)
    ] = None,
    usd_per_eth: Annotated[
        str | None, typer.Option(metavar="USD", help="For settings in USD.", show_default=False)
    ] = None,
    gas_price: Annotated[str, typer.Option(metavar="GWEI", help="Price of gas.")] = "0",
    mcycle_cost: Annotated[
        str, typer.Option(metavar="ETH", help="What proving a million cycles costs you.")
    ] = "0",
    success_probability: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of orders that do not say it.")
    ] = 0.98,
    free_collateral: Annotated[
        str | None, typer.Option(metavar="ZKC", help="What is not locked. [default: not limited]")
    ] = None,
    rivals: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="PER-HOUR",
            help="How often others lock an order at its lowest price. [default: lock as soon as it pays]",
            show_default=False,
        ),
    ] = None,
    rivals_rise: Annotated[
        float, typer.Option(min=0.0, metavar="PER-HOUR", help="How much more often at its highest price.")
    ] = 0.0,
    opportunity: Annotated[
        float, typer.Option(min=0.0, metavar="ETH", help="What an hour of proving earns elsewhere.")
    ] = 0.0,
    output: OutOption = None,
) -> None:
    """Make a round of a prover's orders: which to lock, and when; locked ones are commitments."""
    from bondwork.importers.boundless import Conditions, make_round
    from bondwork.importers.boundless_broker import read_broker
    from bondwork.importers.boundless_orders import read_orders

    settings = read_broker(broker.read_bytes(), str(broker))
    requests = read_orders(read_bytes(orders), "standard input" if orders == "-" else orders)
    conditions = Conditions(
        now=int(time.time()) if now is None else now,
        eth_per_zkc=_number("--eth-per-zkc", eth_per_zkc),
        usd_per_eth=None if usd_per_eth is None else _number("--usd-per-eth", usd_per_eth),
        gas_price=int(_number("--gas-price", gas_price) * 10**9),
        mcycle_cost=_number("--mcycle-cost", mcycle_cost),
        success_probability=success_probability,
        free_collateral=None if free_collateral is None else _number("--free-collateral", free_collateral),
        rivals=_rivals(rivals, rivals_rise),
        opportunity=opportunity / 3600.0,
    )
    imported = make_round(requests, settings, conditions)
    for order, reason in imported.passed_over:
        console.say(f"{order} has no offer: {reason}")
    hand_out(json.dumps(imported.document, indent=1) + "\n", output, orders, broker)


@export_group.command("boundless")
def export_boundless(
    round_: RoundArgument,
    plan: PlanArgument,
    orders: Annotated[
        Path | None,
        typer.Option(help="The order requests, to price locks that are moved.", show_default=False),
    ] = None,
    output: OutOption = None,
) -> None:
    """List which orders to lock, when, and in which sequence to prove them, with what they should earn."""
    from bondwork.exporters.boundless import list_locks
    from bondwork.importers.boundless_orders import read_orders
    from bondwork.plan.plan import load_plan
    from bondwork.planner.planner import read_round

    requests = [] if orders is None else read_orders(orders.read_bytes(), str(orders))
    document = read_round(read_bytes(round_))
    locks = list_locks(document, load_plan(read_bytes(plan)), requests)
    hand_out(locks.to_json(), output, round_, plan, orders)


@export_group.command("eigenlayer")
def export_eigenlayer(
    round_: RoundArgument,
    plan: PlanArgument,
    sets: Annotated[
        Path, typer.Option(metavar="SETS.toml", help="Which task belongs to which operator set.")
    ],
    operator: Annotated[
        str | None, typer.Option(help="Whose. [default: the only one]", show_default=False)
    ] = None,
    output: OutOption = None,
) -> None:
    """Write a plan as the CSV of `eigenlayer operator allocations update`, in bips of the stake."""
    from bondwork.exporters.eigenlayer import allocations, read_sets, write_allocations
    from bondwork.plan.plan import load_plan
    from bondwork.planner.planner import read_round

    homes = read_sets(sets.read_bytes(), str(sets))
    document = read_round(read_bytes(round_))
    rows = allocations(document, load_plan(read_bytes(plan)), homes, operator)
    hand_out(write_allocations(rows), output, round_, plan, sets)


def _number(option: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 0:
        raise typer.BadParameter(f"{option} is {text!r}, expected a number >= 0")
    return number


def _rivals(base: float | None, rise: float) -> Rivals | None:
    """Rates of rivals, in locks per second."""
    if base is None and rise == 0.0:
        return None
    from bondwork.market.locking import Rivals

    return Rivals((base or 0.0) / 3600.0, rise / 3600.0)
