"""Whether a plan's explanations follow from its prices: worth, margin, next best, and the task's price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from bondwork.plan.certificate import WEIGHTED, BadCertificate, Entry
from bondwork.plan.recount import label
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_columns import Columns, Uncheckable
from bondwork.plan.recount_names import is_on_tail, places_by_name
from bondwork.plan.recount_usage import Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.findings import Place
    from bondwork.plan.plan import Explanation
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.verify_status import StatusCheck

#: Share of the largest net reward below which a price of a limit is left out of a plan.
_LEFT_OUT: Final = 1e-9

#: Share of the largest net reward up to which a solver's multipliers of tasks are not the best ones.
_SOLVED: Final = 1e-6

#: Share of the room that a choice may take and surely fit.
_FITS: Final = 1.0 - 1e-6


class ExplanationCheck:
    """Checks the explanations of a plan of one stage at its prices.

    A choice is worth its net reward less the price of what it takes of every limit but its task's own. The
    next best is the best other choice for the task, or to leave it, which is worth nothing. Multipliers of
    the relaxation price a task between its second best choice and its best.

    Parameters
    ----------
    check
        The check of the plan, which is told what is found.
    accounts
        The limits with what the plan takes of them.
    """

    def __init__(self, check: StatusCheck, accounts: dict[Key, Account]) -> None:
        self.check = check
        self.plan = check.plan
        self.round = check.round
        self.exceeded = {label(key) for key, each in accounts.items() if each.overcommitment()[0]}

    def run(self, prices: Sequence[tuple[str, Entry]], *, one_stage: bool) -> None:
        """Gather everything that is wrong; ``prices`` are those of limits, by name."""
        explained = [n for n, each in enumerate(self.plan.assignments) if each.explanation is not None]
        if not explained:
            return
        if self.plan.prices_from is None:
            self.check.unchecked.append("explanations: there are no prices to recompute them at")
            return
        reason = self._not_recomputed(one_stage=one_stage)
        if reason is None and len(self.check.chosen) == len(self.plan.assignments):
            try:
                self._check(explained, prices)
            except Uncheckable as fault:
                reason = str(fault)
            except OverflowError:
                nothing: list[tuple[Place, object]] = [
                    (("assignments", n, "explanation"), None) for n in explained
                ]
                nothing += [(("prices",), []), (("prices_from",), None)]
                expected = "prices whose sums are within the range of numbers"
                self.check.doubt("prices", "larger ones", expected, *nothing)
        if reason is not None:
            self.check.unchecked.append(f"explanations: {reason}")

    def _not_recomputed(self, *, one_stage: bool) -> str | None:
        """Why explanations do not follow from a round and the prices of its limits."""
        if not one_stage:
            return "of a round with later stages"
        if self.check.instance.constraints:
            return "at the prices of constraints"
        if self.check.instance.objective.risk_weight > 0.0 or self.plan.loads:
            return "of choices whose worth depends on other choices"
        places = places_by_name(self.round)
        for each in self.plan.prices:
            if not each.limit.startswith("task ") and (
                each.price is None or len(places[each.limit]) != 1 or is_on_tail(places[each.limit][0])
            ):
                return f"at the price of {each.limit[:200]}"
        return None

    def _check(self, explained: Sequence[int], prices: Sequence[tuple[str, Entry]]) -> None:
        at = _AtPrices(self, [entry for name, entry in prices if name not in self.exceeded])
        teams = self.round.teams.group(self.check.chosen)
        team_of = {offer: team for team in teams for offer in team}
        for number in explained:
            given = self.plan.assignments[number].explanation
            team = team_of[self.check.chosen[number]]
            mine = at.find(self.round.task[team[0]], team)
            if given is not None and mine is not None:
                self._compare(number, given, mine, at)

    def _compare(self, number: int, given: Explanation, mine: int, at: _AtPrices) -> None:
        task = int(at.columns.task[mine])
        worth, near = float(at.worth[mine]), float(at.near[mine])
        if not abs(given.worth - worth) <= near:
            self._doubt(number, "worth", given.worth, f"{worth:.12g} at these prices")
            return
        others = [column for column in at.of_task(task) if column != mine]
        best = max((float(at.worth[c]) for c in others if at.fits[c]), default=-np.inf)
        required = bool(at.required[task])
        rivals = [c for c in others if self._is_named(given, at.columns.team(c))]
        if given.runner_up and rivals:
            next_worth = max(float(at.worth[c]) for c in rivals)
            least = best if required else max(best, 0.0)
        else:
            next_worth, least = -np.inf if required else 0.0, best
        near += max((float(at.near[c]) for c in others), default=0.0)
        if next_worth < least - near:
            self._doubt(number, "next best", given.runner_up, f"a choice that is worth {least:.12g}")
            return
        margin = None if next_worth == -np.inf else worth - next_worth
        if (given.margin is None) != (margin is None) or abs((given.margin or 0.0) - (margin or 0.0)) > near:
            self._doubt(number, "margin", given.margin, margin)
            return
        self._check_task_price(number, given, task, at)

    def _check_task_price(self, number: int, given: Explanation, task: int, at: _AtPrices) -> None:
        """A task's price beside those of limits: of less or more the same prices would prove less."""
        if self.plan.prices_from != "lp_relaxation":
            what = "explanations: prices of tasks"
            if what not in self.check.unchecked:
                self.check.unchecked.append(what)
            return
        columns = at.of_task(task)
        fitting = sorted((float(at.worth[column]) for column in columns if at.fits[column]), reverse=True)
        high, low = max(float(at.worth[c]) for c in columns), fitting[1] if len(fitting) > 1 else -np.inf
        if not at.required[task]:
            high, low = max(high, 0.0), max(low, 0.0)
        elif low == -np.inf:
            low = min(given.task_price, high)
        if not low - at.unsure <= given.task_price <= high + at.unsure:
            self._doubt(number, "task_price", given.task_price, f"from {low:.12g} to {high:.12g}")

    def _is_named(self, given: Explanation, team: tuple[int, ...]) -> bool:
        ids = self.check.instance.offers.ids
        same = self.round.operator_id(team[0]) == given.operator
        return same and sorted(given.runner_up) == sorted(ids[offer] for offer in team)

    def _doubt(self, number: int, what: str, found: object, expected: object) -> None:
        nothing = (("assignments", number, "explanation"), None)
        task = self.plan.assignments[number].task
        self.check.doubt(f"{what} of {task}", found, expected, nothing)


class _Span(NamedTuple):
    """Columns of one task, in the order of tasks."""

    first: int
    last: int


class _AtPrices:
    """Every choice at the stated prices, those included that do not fit by themselves."""

    def __init__(self, check: ExplanationCheck, entries: Sequence[Entry]) -> None:
        recount = BoundRecount(check.round)
        recount.columns = self.columns = Columns(check.round, None)
        _, priced = recount.priced(entries)
        with np.errstate(all="ignore"):  # prices may be anything
            net, size, terms = recount.priced([])[1].sums()
            self.worth, sizes, _ = priced.sums()
            largest = float(np.max(np.abs(net), initial=0.0))
            self.near: FloatArray = _LEFT_OUT * (terms * largest + sizes + size)
        if not np.all(np.isfinite(self.worth) & np.isfinite(self.near)):
            raise OverflowError
        self.unsure = _SOLVED * float(np.max(sizes, initial=0.0))
        self.required = recount.required()
        self.fits = self._fitting(recount, check.exceeded)
        self._order = np.argsort(self.columns.task, kind="stable")
        present, starts = np.unique(self.columns.task[self._order], return_index=True)
        ends = [*starts[1:].tolist(), len(self._order)]
        spans = map(_Span, starts.tolist(), ends)
        self._spans = dict(zip(present.tolist(), spans, strict=True))

    def of_task(self, task: int) -> list[int]:
        """Columns of a task."""
        span = self._spans.get(task, _Span(0, 0))
        return self._order[span.first : span.last].tolist()  # type: ignore[no-any-return]

    def find(self, task: int, team: tuple[int, ...]) -> int | None:
        """The column of a team; ``None`` where it is no choice of the round."""
        found: Iterator[int] = (c for c in self.of_task(task) if self.columns.team(c) == team)
        return next(found, None)

    def _fitting(self, recount: BoundRecount, exceeded: Collection[str]) -> BoolArray:
        """Columns that surely fit by themselves: a task's price is not about others."""
        fits = np.ones(len(self.columns), dtype=bool)
        usage = Usage(self.columns)
        for name, places in places_by_name(recount.round).items():
            for word, about in places:
                if word in WEIGHTED:
                    continue
                try:
                    word_, whose, room = recount.rooms.of(Entry(word, about, 1.0))
                except BadCertificate:  # no such limit
                    continue
                columns, amounts = usage.of(word_, whose)
                # of what commitments alone exceed nothing is left, however little a choice would take
                most = 0.0 if name in exceeded else float(room) * _FITS
                fits[columns[amounts > most]] = False
        return fits
