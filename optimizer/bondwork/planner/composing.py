"""From what is asked and what the books hold to the round that is solved, and from its plan back to events.

The round says what there is to do and who offers; the books say what everybody has left and what is still
at work. What they disagree on, the books decide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bondwork.planner.events import Commitment, Planned
from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bondwork.plan.plan import Assignment, Plan
    from bondwork.planner.books import Books

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Composed:
    """A round as it is solved.

    Attributes
    ----------
    document
        A ``bondwork.round/1``.
    notes
        What was changed in it that its author may wonder about, for the plan's provenance.
    adopted
        Commitments of the round that the books do not know yet.
    """

    document: Document
    notes: tuple[str, ...]
    adopted: tuple[Commitment, ...]


def text_of(amount: float | int | str) -> str:
    """Write an amount as an exact decimal text.

    Examples
    --------
    >>> text_of(1e-7), text_of("2.50"), text_of(10**21)
    ('0.0000001', '2.50', '1000000000000000000000')
    """
    if isinstance(amount, str):
        return amount
    return format(Decimal(repr(amount) if isinstance(amount, float) else amount), "f")


def compose(
    document: Mapping[str, Any], books: Books, round_id: str, is_settled: Callable[[str], bool]
) -> Composed:
    """Put the books into a round.

    Stake and free collateral of members that the books know are theirs; open commitments are added, with
    the tasks that they are about; a task that is given away already is not given away again; a serial
    coprocessor is busy with what it was given; forecasts replace the success probabilities of coprocessors
    with a reputation.

    Parameters
    ----------
    document
        A valid ``bondwork.round/1``. It is not changed.
    books
        The planner's.
    round_id
        Of the commitments that are adopted.
    is_settled
        Says of a commitment's id whether it ended already.

    Raises
    ------
    InvalidInput
        A coprocessor that the books do not know has less than nothing: accounts begin with a deposit.
    """
    _check_deposits(document, books)
    made = dict(document)
    notes: list[str] = []
    now = float(made.get("now", 0.0))
    taken = {each.task for each in books.open.values()}
    adopted = _adopted(made, books, round_id, is_settled)
    _put_members(made, books, now)
    if any(task["id"] in taken for task in made["tasks"]):
        busy = [task["id"] for task in made["tasks"] if task["id"] in taken]
        made["tasks"] = [task for task in made["tasks"] if task["id"] not in taken]
        for name in ("offers", "self_execution"):
            made[name] = [each for each in made.get(name, []) if each["task"] not in taken]
        notes.append(f"given away already and not again: {_some(busy)}")
    kept = {each.id for each in adopted}
    made["commitments"] = [each for each in made.get("commitments", []) if each["id"] in kept]
    outage = {c["id"]: float(c.get("outage_probability", 0.0)) for c in made["coprocessors"]}
    made["tasks"] = [*made["tasks"], *_carried(books)]
    made["commitments"] += [
        _fixed(each, now, 1.0 - outage.get(each.executor, 0.0)) for each in books.open.values()
    ]
    _put_forecasts(made, books)
    return Composed(made, tuple(notes), tuple(adopted))


def planned(
    composed: Composed, plan: Plan, books: Books, round_id: str, *, carry_out: bool = True
) -> Planned:
    """Write down what a plan of a composed round commits to, and whom the round made known."""
    document = composed.document
    now = float(document.get("now", 0.0))
    commitments = tuple(_commitments(document, plan, round_id, now)) if carry_out else ()
    busy = _timed_work(commitments)
    free_at = {}
    for each in document["coprocessors"]:
        if each.get("serial") and busy[each["id"]]:
            start = each.get("free_at")
            free_at[each["id"]] = max(now if start is None else float(start), now) + busy[each["id"]]
    return Planned(
        round=round_id,
        at=now,
        operators=_new(document.get("operators", []), "stake", books.ledger.operators, books.unlimited),
        coprocessors=_new(
            document["coprocessors"], "free_collateral", books.ledger.coprocessors, books.unlimited
        ),
        adopted=composed.adopted,
        commitments=commitments,
        free_at=free_at,
    )


def excess(event: Planned, books: Books) -> dict[str, Decimal]:
    """Collateral that a plan would lock beyond what is free, by coprocessor, in currency and exactly.

    A solver keeps limits to a tolerance; a ledger keeps them to the last unit.
    """
    ledger = books.ledger
    wanted: Counter[str] = Counter()
    for each in event.commitments:
        if each.kind == "delegated":
            wanted[each.executor] += ledger.units(each.collateral)
    missing = {}
    for name, units in wanted.items():
        given = event.coprocessors.get(name)
        if name in event.coprocessors:
            free = None if given is None else ledger.units(given)
        else:
            free = None if name in books.unlimited else books.free_by(name, event.at)
        if free is not None and units > free:
            missing[name] = ledger.amount(units - free)
    return missing


def without_new_work(document: Document) -> Document:
    """Take from a round everything that could be given away now; what is committed stays.

    Limits on the loss go too: nothing is left that they could keep from being chosen.
    """
    tasks = [{**task, "required": False} for task in document["tasks"]]
    nothing: Document = {"offers": [], "self_execution": [], "periods": [], "risk": [], "objective": {}}
    return {**document, "tasks": tasks, **nothing}


# --- into the round ---------------------------------------------------------------------------------------


def _put_members(made: Document, books: Books, now: float) -> None:
    ledger = books.ledger
    operators = [dict(each) for each in made.get("operators", [])]
    coprocessors = [dict(each) for each in made.get("coprocessors", [])]
    there = {each["id"] for each in (*operators, *coprocessors)}
    for work in books.open.values():
        for group, name in ((operators, work.operator), (coprocessors, work.executor)):
            if name not in there:
                there.add(name)
                group.append({"id": name})
    for each in operators:
        account = ledger.operators.get(each["id"])
        if account is not None and each["id"] not in books.unlimited:
            each["stake"] = format(ledger.amount(account.stake), "f")
    held = _timed_work(books.open.values())
    for each in coprocessors:
        if each["id"] in ledger.coprocessors and each["id"] not in books.unlimited:
            each["free_collateral"] = format(ledger.amount(books.free_by(each["id"], now)), "f")
        if each.get("serial") and held[each["id"]]:
            # it may be faster than it said, but not slower than all that is left
            busy = min(books.free_at.get(each["id"], now), now + held[each["id"]])
            given = each.get("free_at")
            each["free_at"] = max(now if given is None else float(given), busy)
    made["operators"], made["coprocessors"] = operators, coprocessors


def _timed_work(commitments: Iterable[Commitment]) -> dict[str, float]:
    """Seconds of work with a deadline, by executor."""
    held: defaultdict[str, float] = defaultdict(float)
    for each in commitments:
        if each.deadline is not None and each.kind == "delegated":
            held[each.executor] += each.duration
    return held


def _carried(books: Books) -> list[Document]:
    """Tasks of open commitments, as far as they are still to be earned or lost."""
    tasks: dict[str, Document] = {}
    for each in books.open.values():
        if each.task in tasks:
            continue
        group = books.groups[each.group]
        quorum = max(1, min(group.quorum - group.succeeded, group.open))
        tasks[each.task] = {
            "id": each.task,
            "operator": each.operator,
            "reward": "0" if group.is_decided else each.reward,
            "slashing": "0" if group.is_decided else each.slashing,
            "replicas": group.open,
            "quorum": quorum,
        }
    return list(tasks.values())


def _fixed(each: Commitment, now: float, most: float) -> Document:
    return {
        "id": each.id,
        "task": each.task,
        "operator": each.operator,
        "executor": each.executor,
        "collateral": each.collateral if each.kind == "delegated" else 0,
        "work": each.work,
        "success_probability": min(each.success_probability, most),
        "release_at": max(each.at + each.duration, now),
    }


def _put_forecasts(made: Document, books: Books) -> None:
    seen = books.seen_reputation()
    if seen is None or not seen.executors or not made.get("offers"):
        return
    known = set(seen.executors)
    told = [offer for offer in made["offers"] if offer["coprocessor"] in known]
    forecast = iter(seen.apply({"offers": told, "coprocessors": made["coprocessors"]})["offers"])
    made["offers"] = [next(forecast) if each["coprocessor"] in known else each for each in made["offers"]]


def _adopted(
    made: Document, books: Books, round_id: str, is_settled: Callable[[str], bool]
) -> list[Commitment]:
    """Commitments of the round that are new: neither ours, nor ended, nor one of ours by another name."""
    ours = {(each.task, each.operator, each.executor) for each in books.open.values()}
    new = [
        each
        for each in made.get("commitments", [])
        if each["id"] not in books.open
        and (each["task"], each["operator"], each["executor"]) not in ours
        and not is_settled(each["id"])
    ]
    tasks = {task["id"]: task for task in made["tasks"]}
    together = Counter(each["task"] for each in new)
    now = float(made.get("now", 0.0))
    return [_adopt(each, tasks[each["task"]], together[each["task"]], round_id, now, made) for each in new]


def _adopt(
    each: Document, task: Document, together: int, round_id: str, now: float, made: Document
) -> Commitment:
    claim = _claim(task, each["operator"])
    release_at = each.get("release_at")
    return Commitment(
        id=each["id"],
        round=round_id,
        task=each["task"],
        operator=each["operator"],
        executor=each["executor"],
        offer=each["id"],
        kind="self" if each["executor"] == each["operator"] else "delegated",
        collateral=text_of(each.get("collateral", 0)),
        price="0",  # what was agreed then is not in the round
        reward=claim[0],
        slashing=claim[1],
        success_probability=float(each["success_probability"]),
        at=now,
        duration=0.0 if release_at is None else max(float(release_at) - now, 0.0),
        work=dict(each.get("work", {})),
        executors=together,
        quorum=min(int(task.get("quorum", 1)), together),
        **_terms(made),
    )


# --- out of the plan --------------------------------------------------------------------------------------


def _commitments(document: Document, plan: Plan, round_id: str, now: float) -> list[Commitment]:
    tasks = {task["id"]: task for task in document["tasks"]}
    offers = {_offer_id(offer): offer for offer in document.get("offers", [])}
    own = {(each["task"], each["operator"]): each for each in document.get("self_execution", [])}
    together = Counter(each.task for each in plan.assignments)
    held = {each["id"] for each in document["commitments"]}
    made: dict[str, Commitment] = {}
    for each in plan.assignments:
        is_own = each.kind == "self"
        source = own[each.task, each.operator] if is_own else offers[each.offer]
        task = tasks[each.task]
        name = f"{round_id}/{each.offer}"
        while name in made or name in held:
            name += "'"
        made[name] = _commitment(each, source, task, name, round_id, now, together[each.task], document)
    return list(made.values())


def _commitment(
    each: Assignment,
    source: Document,
    task: Document,
    name: str,
    round_id: str,
    now: float,
    together: int,
    document: Document,
) -> Commitment:
    reward, slashing = _claim(task, each.operator)
    is_own = each.kind == "self"
    work = task.get("work", {}) if source.get("work") is None else source["work"]
    deadline = task.get("deadline")
    return Commitment(
        id=name,
        round=round_id,
        task=each.task,
        operator=each.operator,
        executor=each.executor,
        offer=each.offer,
        kind=each.kind,
        collateral="0" if is_own else _exact(source.get("collateral", 0), each.collateral),
        price=_exact(source.get("cost" if is_own else "bid", 0), each.price),
        reward=reward,
        slashing=slashing,
        success_probability=each.success_probability,
        at=now,
        duration=0.0 if is_own else float(source.get("duration", 0.0)),
        deadline=None if deadline is None else float(deadline),
        work=dict(work),
        executors=together,
        quorum=int(task.get("quorum", 1)),
        **_terms(document),
    )


def _exact(given: float | int | str, planned_: float) -> str:
    """Take the round's own digits where the plan's number is theirs, rounded."""
    return text_of(given if float(given) == planned_ else planned_)


def _claim(task: Document, operator: str) -> tuple[str, str]:
    """Reward and slashing of an operator's claim, in the round's own digits."""
    claims = task.get("claims")
    claim = task if claims is None else next(each for each in claims if each["operator"] == operator)
    reward, slashing = claim.get("reward"), claim.get("slashing")
    return text_of(0 if reward is None else reward), text_of(0 if slashing is None else slashing)


def _terms(document: Document) -> Document:
    terms = document.get("terms", {})
    split = terms.get("collateral_split", {"burned": 1.0})
    shares = tuple(float(split.get(name, 0.0)) for name in ("burned", "operator", "rescuer", "treasury"))
    return {"bid_paid": terms.get("bid_paid", "always"), "split": shares}


def _offer_id(offer: Document) -> str:
    """Id of an offer: its own, or what the format says it is."""
    if offer.get("id") is not None:
        return str(offer["id"])
    parts = [offer["task"], offer["coprocessor"]]
    return "/".join(parts if offer.get("operator") is None else [*parts, offer["operator"]])


def _check_deposits(document: Mapping[str, Any], books: Books) -> None:
    """Refuse a first deposit below 0: what is owed is owed to a ledger that another keeps."""
    members = document.get("coprocessors", [])
    first = _new(members, "free_collateral", books.ledger.coprocessors, books.unlimited)
    expected = "an amount >= 0: it is the first deposit"
    faults = [
        Fault(f"$.coprocessors[{number}].free_collateral", preview(each["free_collateral"]), expected)
        for number, each in enumerate(members)
        if Decimal(first.get(each["id"]) or 0) < 0
    ]
    if faults:
        raise InvalidInput(faults)


def _new(
    members: list[Document], name: str, known: Mapping[str, object], unlimited: set[str]
) -> dict[str, str | None]:
    """Members to be met: those not known, and those that were not limited and are now."""
    found: dict[str, str | None] = {}
    for each in members:
        amount = each.get(name)
        if each["id"] not in known or (each["id"] in unlimited and amount is not None):
            found[each["id"]] = None if amount is None else text_of(amount)
    return found


def _some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")
