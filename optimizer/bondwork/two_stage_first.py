"""The first stage of a round with second-stage offers, by whatever strategy was asked for."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bondwork.contracts import ProgramDecision
from bondwork.observing import BoundsOnly, Quiet, Told
from bondwork.plan.certifying import entries_of
from bondwork.problem.faults import Refusal
from bondwork.program.extensive import extensive_form
from bondwork.program.redelegation import Redelegation, keep_unseen_apart, redelegate, without_risk
from bondwork.program.rescue_limits import keeps_limits, without_decision
from bondwork.program.rescue_money import covers_of, with_further_covers
from bondwork.program.rescue_proof import entries_of as multipliers_of
from bondwork.program.staged_money import MOST_ROUNDS
from bondwork.program.two_stage_search import is_large, search
from bondwork.registry import check_takes, load_strategy, strategy_names
from bondwork.settings import read_settings
from bondwork.strategies.extensive import Extensive

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Formulation, Observer, Options, Strategy
    from bondwork.plan.certificate import Entry
    from bondwork.problem.instance import Instance
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram

#: Rows added, over all nodes, to keep decisions from what nobody observes.
MOST_UNSEEN_ROWS = 200_000


class FirstStage(NamedTuple):
    """What a strategy decided of a model, which may have more rows than the one it was given."""

    model: Redelegation
    decision: ProgramDecision
    x: FloatArray | None
    proofs: tuple[tuple[Entry, ...], ...] = ()


class FirstStageDecider:
    """Has a strategy decide: both stages together where it can, else the first by itself.

    Parameters
    ----------
    instance, strategy, formulation, options, observer
        As for `bondwork.two_stages.TwoStageRoad`.
    ends
        On the clock of `time.perf_counter`: when it must be done.
    """

    def __init__(
        self,
        instance: Instance,
        strategy: str,
        formulation: Formulation,
        options: Options,
        observer: Observer,
        *,
        ends: float,
    ) -> None:
        self.instance, self.strategy, self.formulation = instance, strategy, formulation
        self.options, self.observer, self.ends = options, observer, ends

    def _kind(self) -> type[Any]:
        return Extensive if self.strategy == "auto" else load_strategy(self.strategy)

    def knows_outcomes(self) -> bool:
        """Whether the strategy decides for somebody who knows what will be seen."""
        return bool(getattr(self._kind(), "knows_outcomes", False))

    def decide(self, model: Redelegation) -> FirstStage:
        """Decide the first stage of a model, and the second as far as the strategy does."""
        kind = self._kind()
        read_settings(kind(), self.options.settings, f"strategy {self.strategy}")
        if self.knows_outcomes():
            lucky = redelegate(model.instance, model.first, model.outcomes, model.rescues, luck=True)
            watch = Told(self.observer, unit=lucky.unit)
            told = kind().solve_program(lucky.program, self.options, watch)
            return FirstStage(model, _in_currency(told, lucky), None)
        if hasattr(kind, "solve_program"):
            return self._together(model, kind())
        if not hasattr(kind, "solve"):
            raise Refusal([f"strategy {self.strategy} decides no rounds; these do: {strategy_names()}"])
        check_takes(self.strategy, "second stage")
        strategy: Strategy = kind()
        if hasattr(strategy, "at_round"):
            strategy = strategy.at_round(self.instance)
        alone = strategy.solve(model.first, self.options, Quiet(self.observer))
        note = (
            f"{self.strategy} decided the first stage without regard to the second, which is the best one "
            "for it"
        )
        status = "locally_solved" if alone.status == "optimal" else alone.status
        decision = ProgramDecision(status, math.inf, alone.x, None, (*alone.notes, note))
        plain = without_risk(self.instance)
        known = [tuple(entries_of(plain, model.first, proof)) for proof in alone.proofs]
        # multipliers of tasks prove nothing here: a task goes on in the second stage
        proofs = tuple(proof for proof in known if all(each.word != "task" for each in proof))
        return FirstStage(model, decision, alone.x, proofs or ((),))

    def _together(self, model: Redelegation, strategy: Any) -> FirstStage:
        """Decide both stages, again where a solution sees what nobody observes."""
        added, rounds = 0, 0
        write = getattr(self.formulation, "extensive_form", extensive_form)
        watch = self._watch(model)
        if hasattr(strategy, "write"):
            strategy.write = write
        while True:
            left = dataclasses.replace(self.options, time_limit=max(self.ends - time.perf_counter(), 0.0))
            model, decision, proofs = self._exactly(model, strategy, left, watch, write)
            if decision.root is None:
                return FirstStage(model, decision, None, proofs)
            x = np.round(decision.root[: model.first.choices])
            limited = bool(np.any(~model.program.linking.informational))
            if not limited or decision.nodes is None:
                break
            apart = keep_unseen_apart(model, decision.nodes, chosen_offers(model.first, x))
            if apart is None:
                break
            added += len(apart.program.linking) - len(model.program.linking)
            if added > MOST_UNSEEN_ROWS or decision.status != "optimal":
                note = "its bound is that of a second stage that may see outcomes of offers not chosen"
                status = "iteration_limit" if decision.status == "optimal" else decision.status
                told = dataclasses.replace(decision, status=status, notes=(*decision.notes, note))
                return FirstStage(model, told, x, proofs)
            model, rounds = apart, rounds + 1
        if added:
            note = f"{added} rows added in {rounds} rounds that keep decisions from what nobody observes"
            decision = dataclasses.replace(decision, notes=(*decision.notes, note))
        return FirstStage(model, decision, x, proofs)

    def _exactly(
        self,
        model: Redelegation,
        strategy: Any,
        options: Options,
        observer: Observer,
        write: Callable[[StochasticProgram], ExtensiveForm],
    ) -> tuple[Redelegation, ProgramDecision, tuple[tuple[Entry, ...], ...]]:
        """Decide both stages until both keep every limit, collateral and stake to the last unit."""
        proofs: tuple[tuple[Entry, ...], ...] = ()
        for _ in range(MOST_ROUNDS):
            decision: ProgramDecision
            if isinstance(strategy, Extensive) and is_large(model):
                of = model.instance, model.first, model.outcomes, model.rescues
                compact = redelegate(*of, compact=True, covers=model.covers)
                left = max(self.ends - time.perf_counter(), 0.0)  # writing that took some
                some = dataclasses.replace(options, time_limit=left)
                decision, form = search(compact, some, observer, write)
                if decision.row_duals is not None:
                    proofs = (tuple(multipliers_of(compact, form, decision.row_duals)),)
            else:
                decision = strategy.solve_program(model.program, options, observer)
            if decision.root is None:
                break
            sharper = _without(model, decision)
            left = max(self.ends - time.perf_counter(), 0.0)
            if sharper is None or left <= 0.0:
                break
            model = sharper
            options = dataclasses.replace(options, time_limit=left)
        return model, _in_currency(decision, model), proofs

    def _watch(self, model: Redelegation) -> Observer:
        """Who is told what a strategy says of a model."""
        if model.instance is not self.instance:
            return Quiet(self.observer)  # of moved limits even bounds are those of another round
        calibrated = any(limit.calibrate for limit in self.instance.risk)
        linked = bool(np.any(~model.program.linking.informational))
        told = Told(self.observer, unit=model.unit)
        # solutions may use what nobody observes, or not hold on fresh scenarios
        return BoundsOnly(told) if calibrated or linked else told


def _in_currency(decision: ProgramDecision, model: Redelegation) -> ProgramDecision:
    """A decision about the program of a model, its bound in currency."""
    return dataclasses.replace(decision, bound=decision.bound * model.unit)


def chosen_offers(first: Program, x: FloatArray) -> IntArray:
    """Offers that a first stage chooses, ascending."""
    return np.sort(first.columns[: first.choices][x[: first.choices] > 0.5])


def _without(model: Redelegation, decision: ProgramDecision) -> Redelegation | None:
    """The model without a decision that breaks a limit; ``None`` where it breaks none."""
    assert decision.root is not None
    x, nodes = np.round(decision.root[: model.first.choices]), decision.nodes
    covers = covers_of(model, x, [] if nodes is None else [np.round(each) for each in nodes[1:]])
    if covers:
        return with_further_covers(model, covers)
    if nodes is None:
        return None
    rescued = np.round(np.array([each[: model.decisions] for each in nodes[1:]]))
    return None if keeps_limits(model, x, rescued) else without_decision(model, x, rescued)
