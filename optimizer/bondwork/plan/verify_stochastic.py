"""What a plan says the stochastic model is worth: WS, RP, EEV, EVPI, VSS. Part of `bondwork.plan.verify`.

RP is the plan's own objective, and the others are related to it: no plan that is made without knowing what
will happen beats one that knows, and no plan made with means beats the best one. WS, EV and EEV themselves
are optima of other problems, which only a solver finds: they are listed as unchecked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.plan.verify_status import asked_gap

if TYPE_CHECKING:
    from bondwork.plan.findings import Amendment
    from bondwork.plan.verify_status import StatusCheck

#: The numbers; all may be null. Beside them, ``notes`` is text.
_NUMBERS: Final = ("ws", "ws_bound", "rp", "rp_bound", "ev", "eev", "evpi", "vss")

#: A plan that does not say it is as good a plan.
_NOTHING: Final[Amendment] = ((("stochastic",), None),)


class StochasticCheck:
    """Checks the values of a plan's model against each other and the plan.

    Parameters
    ----------
    check
        The check of the plan, which is told what is found.
    """

    def __init__(self, check: StatusCheck) -> None:
        self.check = check
        self.plan = check.plan
        given = check.plan.stochastic or {}
        self.value: dict[str, float | None] = {}
        for name in _NUMBERS:
            value = given.get(name)
            if isinstance(value, str):
                self._wrong(name, repr(value[:40]), "a number, or null")
            self.value[name] = None if isinstance(value, str) else value
        notes = given.get("notes")
        if notes is not None and not isinstance(notes, str):
            self._wrong("notes", notes, "text")
        check.unchecked += [
            f"stochastic.{name[:80]}" for name in given if name not in _NUMBERS and name != "notes"
        ]
        largest = max((abs(each) for each in self.value.values() if each is not None), default=0.0)
        #: What sums of solvers may miss each other by.
        self.near = PROGRAM_ROW * max(largest, check.largest_amount())
        #: By what an optimum found to the asked gap may miss the true one.
        self.gap = asked_gap(check.plan) * largest + self.near

    def run(self) -> None:
        """Gather everything that is wrong."""
        value, plan = self.value, self.plan
        self._same("rp", plan.objective, "the plan's objective")
        self._same("rp_bound", plan.bound, "the plan's bound", self.gap)
        self._difference("evpi", "ws", "rp")
        self._difference("vss", "rp", "eev")
        self._order("ws_bound", "rp", self.near)
        self._order("ws_bound", "ws", self.near)
        self._order("rp_bound", "rp", self.near)
        self._order("rp_bound", "eev", self.near)
        # differences are told where both were solved to the end
        if value["evpi"] is not None:
            self._order("ws", "rp", self.gap)
        if value["vss"] is not None:
            self._order("rp", "eev", self.gap)
        told = [name for name in ("ws", "ws_bound", "ev", "eev") if value[name] is not None]
        if told:
            self.check.unchecked.append(f"stochastic: {', '.join(told)}, optima of other problems")

    def _same(self, name: str, other: float | None, what: str, near: float | None = None) -> None:
        found = self.value[name]
        if found is None:
            return
        if other is None or abs(found - other) > (self.near if near is None else near):
            self._wrong(name, found, f"{what}, {'null' if other is None else format(other, '.12g')}")

    def _difference(self, name: str, better: str, worse: str) -> None:
        found, one, other = self.value[name], self.value[better], self.value[worse]
        if found is None:
            return
        if one is None or other is None:
            self._wrong(name, found, f"null without {better} and {worse}")
        elif abs(found - (one - other)) > self.near:
            self._wrong(name, found, f"{better} - {worse}, {one - other:.12g}")

    def _order(self, better: str, worse: str, near: float) -> None:
        one, other = self.value[better], self.value[worse]
        if one is not None and other is not None and one < other - near:
            self._wrong(better, one, f"at least {worse}, {other:.12g}")

    def _wrong(self, name: str, found: object, expected: str) -> None:
        self.check.doubt(f"stochastic.{name}", found, expected, *_NOTHING)


def check_stochastic(check: StatusCheck) -> None:
    """Check ``stochastic`` where the plan has it."""
    if check.plan.stochastic is not None:
        StochasticCheck(check).run()
