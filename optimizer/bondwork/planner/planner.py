"""The planner: the road from a round to a plan, held open over many rounds, inside someone else's program."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from bondwork.plan.plan import load_plan
from bondwork.planner.books import Books
from bondwork.planner.composing import Composed, compose
from bondwork.planner.configuring import configured, exact_amount
from bondwork.planner.deciding import decide, idle_plan
from bondwork.planner.events import Commitment, Configured, Fund, Moved, Planned, Reset
from bondwork.planner.journal import Journal
from bondwork.planner.observing import Sorting
from bondwork.planner.planner_schema import Outcome, PlannerState, read_outcomes, state_of
from bondwork.planner.reputations import reputation_to_dict, start_reputation
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview
from bondwork.problem.reading import read_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from bondwork.contracts import Observer
    from bondwork.market.settlement import Amount
    from bondwork.plan.plan import Plan
    from bondwork.planner.breaker import Breaker
    from bondwork.problem.instance import Instance
    from bondwork.reputation.ledger import ReputationLedger

#: A round: path of a JSON file, its bytes, an open binary stream, or the document itself.
Round: TypeAlias = str | Path | bytes | BinaryIO | Mapping[str, Any]

#: Options of `bondwork.solve` that the planner decides itself.
_OWN_OPTIONS = ("allow_violations", "warm_start", "observer", "history", "value")


@dataclass(frozen=True, slots=True)
class Taken:
    """What `Planner.observe` did: observations taken in, and those that it knew already."""

    new: int
    repeated: int


class Planner:
    """Plans round after round, and remembers: who has what left, what is still at work, who can be relied on.

    A plan's assignments are commitments from the moment that `plan` returns: their collateral is locked, and
    the rounds that follow are planned round them until `observe` says how they ended.

    Parameters
    ----------
    path
        SQLite file that holds everything, made if it is not there. ``None``: memory only, nothing outlives
        the process.
    decimals, currency
        Unit of the ledger; taken from the first round where left out. It cannot change later.
    breaker
        When to stop making commitments; ``None``: as it was, at first never.
    reputation
        A model's name, a fitted ``bondwork.reputation/1``, or `ReputationLedger`: what coprocessors did
        replaces the success probabilities in rounds, for those seen before. ``None``: as it was, at first
        none.
    options
        For `bondwork.solve`: ``strategy``, ``formulation``, ``time_limit``, ``mip_rel_gap``, ``seed``, ...

    Raises
    ------
    InvalidInput
        The file is something else, or an option is out of range.
    Refusal
        The file counts in another unit.

    Notes
    -----
    What a call has returned from is on the disk; whoever kills the process loses nothing that was observed
    and locks nothing twice, because rounds and observations have ids and are taken in once. Several
    processes may open one file: each sees what the others did before it decides.

    When not to use it: for one round, `bondwork.solve` is enough; where the ledger must be somebody else's
    (a chain's), give each round its ``free_collateral`` and ``commitments`` and keep no planner.

    Examples
    --------
    >>> import bondwork
    >>> task = {"operator": "op", "reward": 4, "slashing": 1}
    >>> offer = {"coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
    >>> def round_of(name):
    ...     return {
    ...         "format": "bondwork.round/1", "operators": [{"id": "op", "stake": 10}],
    ...         "coprocessors": [{"id": "cp", "free_collateral": 3}],
    ...         "tasks": [task | {"id": name}], "offers": [offer | {"task": name}]}
    >>> planner = bondwork.Planner()
    >>> len(planner.plan(round_of("t-1"), "monday").assignments)
    1
    >>> len(planner.plan(round_of("t-2"), "tuesday").assignments)  # 1 of 3 is free: 2 are needed
    0
    >>> planner.observe([{"commitment": "monday/t-1/cp", "outcome": "succeeded"}])
    Taken(new=1, repeated=0)
    >>> len(planner.plan(round_of("t-2"), "wednesday").assignments)
    1
    >>> planner.state.imbalance
    0
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        decimals: int | None = None,
        currency: str | None = None,
        breaker: Breaker | None = None,
        reputation: str | Path | ReputationLedger | None = None,
        **options: Any,
    ) -> None:
        if faults := [
            Fault(name, preview(options[name]), "nothing: the planner decides it")
            for name in _OWN_OPTIONS
            if name in options
        ]:
            raise InvalidInput(faults)
        fitted = None if reputation is None else reputation_to_dict(start_reputation(reputation))
        self._options = options
        self._lock = threading.RLock()
        self._journal = Journal(path)
        try:
            self._configure(decimals, currency, breaker, fitted)
        except BaseException:
            self._journal.store.close()
            raise

    # --- what one does with it ----------------------------------------------------------------------------

    def plan(self, round_: Round, round_id: str | None = None, *, observer: Observer | None = None) -> Plan:
        """Decide a round and commit to the plan.

        Parameters
        ----------
        round_
            A ``bondwork.round/1``. What it says of the stake and free collateral of members that the planner
            knows, and of commitments that it made, does not count: the ledger does. Commitments that it does
            not know are adopted.
        round_id
            Name of the round; where left out, ``round-`` and the first digits of its content's digest.
        observer
            As for `bondwork.solve`.

        Returns
        -------
        Plan
            The same again for a round planned before. While the breaker is open: no assignments, status
            ``interrupted`` and the reason in the notes. That, and a plan without a solution, is not
            remembered: ask again with the same id.

        Raises
        ------
        InvalidInput
            With every fault of the round; or the id is another round's.
        Refusal
            As `bondwork.solve`; or the round counts in another unit than the ledger.
        """
        document = read_round(round_)
        instance = read_document(document)
        with self._lock:
            name = _name_of(instance) if round_id is None else round_id
            known = self._known_plan(name, instance)
            if known is not None:
                return known
            self._journal.catch_up()
            plan, event = self._decide(document, instance, name, observer)
            if event is None:
                return plan
            seen = self._journal.seq
            with self._journal.writing():
                if self._journal.seq != seen:  # another process wrote meanwhile: now it has to wait
                    known = self._known_plan(name, instance)
                    if known is not None:
                        return known
                    plan, event = self._decide(document, instance, name, observer)
                if event is not None:
                    self._commit(plan, event, instance)
            return plan

    def round_id(self, round_: Round) -> str:
        """Name that a round gets where `plan` is given none."""
        return _name_of(read_document(read_round(round_)))

    def prepare(self, round_: Round) -> dict[str, Any]:
        """Give the round as it would be solved now: with the ledger, open commitments and forecasts in it.

        A plan can be checked with it by `bondwork.verify` as long as nothing else has happened since.
        """
        document = read_round(round_)
        read_document(document)
        with self._lock:
            self._journal.catch_up()
            return self._compose(document, "").document

    def observe(self, outcomes: Sequence[Mapping[str, Any] | Outcome]) -> Taken:
        """Take in how commitments ended: all of them, or none where one is at fault.

        Parameters
        ----------
        outcomes
            See `Outcome`. One with an ``id`` that was taken in before is passed over if it says the same.

        Raises
        ------
        InvalidInput
            With every fault: no such commitment, or an id or commitment that is settled otherwise.
        """
        given = read_outcomes(outcomes)
        with self._lock, self._journal.writing():
            sorting = Sorting(self._journal)
            sorting.sort(given)
            for id_, event in sorting.new.items():
                self._journal.record(f"observed:{id_}", event, subject=event.commitment)
        return Taken(len(sorting.new), sorting.repeated)

    def deposit(self, id_: str, member: str, amount: Amount, fund: Fund | None = None) -> PlannerState:
        """Put stake or collateral into a member's account, once for each ``id_``.

        Parameters
        ----------
        id_
            Of the deposit.
        member
            An operator or a coprocessor. It is limited from then on.
        amount
            In currency; exact where it is a text or a whole number.
        fund
            ``stake`` or ``collateral``; needed for members that the planner does not know yet.
        """
        return self._move(id_, member, amount, fund, sign="")

    def withdraw(self, id_: str, member: str, amount: Amount, fund: Fund | None = None) -> PlannerState:
        """Take stake or free collateral out, at most what is there, once for each ``id_``; see `deposit`."""
        return self._move(id_, member, amount, fund, sign="-")

    def reset(self, id_: str) -> PlannerState:
        """Close the breaker again, once for each ``id_``, and forget the outcomes that opened it."""
        with self._lock, self._journal.writing():
            if self._journal.find(f"reset:{id_}") is None:
                self._journal.record(f"reset:{id_}", Reset())
        return self.state

    @property
    def state(self) -> PlannerState:
        """Accounts, open commitments, breaker and reputations: ``bondwork.planner/1``."""
        with self._lock:
            self._journal.catch_up()
            return state_of(self._journal.books, self._journal.seq)

    @property
    def commitments(self) -> tuple[Commitment, ...]:
        """Open commitments, in the order they were made."""
        with self._lock:
            self._journal.catch_up()
            return tuple(self._journal.books.open.values())

    def audit(self) -> PlannerState:
        """Fold every event again from the first, and compare with the state at hand.

        Raises
        ------
        RuntimeError
            They differ, or money does not add up: a bug, or a file that somebody wrote to.
        """
        with self._lock:
            self._journal.catch_up()
            self._journal.audit()
            return self.state

    def close(self) -> None:
        """Close the file. Nothing is lost without it."""
        with self._lock:
            self._journal.store.close()

    def __enter__(self) -> Planner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- planning -----------------------------------------------------------------------------------------

    def _known_plan(self, name: str, instance: Instance) -> Plan | None:
        kept = self._journal.store.plan(name)
        if kept is None:
            return None
        digest, text = kept
        if digest != instance.sha256:
            found = f"{preview(name)}, the id of a round with other content"
            raise InvalidInput([Fault("round_id", found, "an id of its own for each round")])
        return load_plan(text.encode())

    def _compose(self, document: dict[str, Any], name: str) -> Composed:
        return compose(document, self._journal.books, name, self._journal.is_settled)

    def _decide(
        self, document: dict[str, Any], instance: Instance, name: str, observer: Observer | None
    ) -> tuple[Plan, Planned | None]:
        """Solve on the books as they stand; no event where the plan commits to nothing."""
        self._check_unit(instance)
        books = self._journal.books
        composed = self._compose(document, name)
        if books.watch is not None and books.watch.reason is not None:
            return idle_plan(composed, books.watch.reason), None
        plan, event = decide(composed, books, name, self._last_plan(), observer, self._options)
        return plan, event if plan.is_usable() else None

    def _last_plan(self) -> Plan | None:
        last = self._journal.books.last_round
        kept = None if last is None else self._journal.store.plan(last)
        return None if kept is None else load_plan(kept[1].encode())

    def _commit(self, plan: Plan, event: Planned, instance: Instance) -> None:
        """Write a plan and its event down, inside a transaction."""
        if not self._journal.books.is_configured:
            self._journal.record("configured:0", Configured(instance.decimals, instance.currency))
        self._journal.store.keep_plan(event.round, instance.sha256, plan.to_json())
        self._journal.record(f"planned:{event.round}", event)

    def _check_unit(self, instance: Instance) -> None:
        books = self._journal.books
        ours, theirs = books.ledger.decimals, instance.decimals
        reasons = []
        if books.is_configured and ours != theirs:
            reasons.append(f"a round that counts in 10^-{theirs}: the ledger counts in 10^-{ours}")
        if books.currency and instance.currency and books.currency != instance.currency:
            reasons.append(f"a round in {instance.currency}: the ledger is in {books.currency}")
        if reasons:
            raise Refusal(reasons)

    # --- money and settings -------------------------------------------------------------------------------

    def _move(self, id_: str, member: str, amount: Amount, fund: Fund | None, *, sign: str) -> PlannerState:
        text = exact_amount(amount)
        with self._lock, self._journal.writing() as books:
            funds: list[Fund] = []
            if member in books.ledger.operators:
                funds.append("stake")
            if member in books.ledger.coprocessors:
                funds.append("collateral")
            chosen = fund or (funds[0] if len(funds) == 1 else None)
            if chosen not in ("stake", "collateral") or (funds and chosen not in funds):
                expected = "stake or collateral" if not funds else " or ".join(funds)
                raise InvalidInput([Fault("fund", preview(fund), f"{expected}, for {preview(member)}")])
            event = Moved(chosen, member, sign + text)
            known = self._journal.find(f"moved:{id_}")
            if known is None:
                self._journal.record(f"moved:{id_}", event)
            elif known != event:
                found = f"{preview(id_)}, the id of another movement"
                raise InvalidInput([Fault("id", found, "an id of its own for each movement")])
        return self.state

    def _configure(
        self,
        decimals: int | None,
        currency: str | None,
        breaker: Breaker | None,
        fitted: dict[str, Any] | None,
    ) -> None:
        """Write down what the caller asks for, where it is new."""
        if decimals is None and currency is None and breaker is None and fitted is None:
            return
        with self._journal.writing() as books:
            event = configured(books, decimals, currency, breaker, fitted)
            wanted = Books.from_dict(books.to_dict())
            wanted.apply(event)
            if wanted.to_dict() != books.to_dict():
                self._journal.record(f"configured:{self._journal.seq + 1}", event)


def _name_of(instance: Instance) -> str:
    return f"round-{instance.sha256[:16]}"


def read_round(round_: Round) -> dict[str, Any]:
    """Read the document of a round, without looking at what it says."""
    if isinstance(round_, Mapping):
        return dict(round_)
    if isinstance(round_, str | Path):
        data = Path(round_).read_bytes()
    else:
        data = round_ if isinstance(round_, bytes) else round_.read()
    document: dict[str, Any] = parse_document(data)
    return document
