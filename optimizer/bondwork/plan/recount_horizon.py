"""A plan over the tree of later periods once more, node by node, in plain Python.

The tree is made again from the round and the seed; what it says of each node is believed, and nothing else.
Releases, forfeits, limits, serial work and the objective are worked out here again (MODEL 4). Serial work is
checked by running it, always the job with the earliest deadline first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bondwork.base.tolerances import ROW
from bondwork.plan.findings import Findings
from bondwork.plan.recount import SUM_TOLERANCE, Account, Key, Recount, label
from bondwork.problem.faults import json_path
from bondwork.uncertainty.horizon import ENDED, HorizonTree, horizon_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.findings import Place
    from bondwork.plan.plan import Assignment, NodeDecision, Plan
    from bondwork.problem.instance import Instance

#: Decision point of the round itself, as the tree numbers it.
_ROOT = -1

#: Limits that hold what a decision takes until its release, and after it where it failed.
_FORFEITABLE = ("collateral", "stake")


class HorizonRecount(Findings):
    """Checks what a plan decides at later nodes, and adds its objective up.

    Parameters
    ----------
    instance, plan
        The round and its plan.
    chosen
        Offers that the plan chooses in the round itself.
    """

    def __init__(self, instance: Instance, plan: Plan, chosen: list[int]) -> None:
        super().__init__()
        self.instance = instance
        self.plan = plan
        self.tree: HorizonTree = horizon_tree(instance, seed=plan.provenance.seed)
        self.period: list[int] = self.tree.period.tolist()
        self.realisation: list[int] = self.tree.realisation.tolist()
        self.parent: list[int] = self.tree.tree.parent.tolist()
        self.probability: list[float] = self.tree.tree.probability.tolist()
        self.chosen: dict[int, list[int]] = {0: chosen}
        self._rounds: dict[tuple[int, int], Recount] = {}
        self._uses: dict[tuple[int, int, int], list[tuple[Key, float]]] = {}
        #: Columns of what is seen on entering a period, by what it is an outcome of.
        self._seen: dict[int, dict[tuple[int, int, bool], int]] = {}

    def check(self) -> None:
        """Gather the violations."""
        if self.plan.provenance.tree_sha256 != self.tree.tree.sha256:
            found, sha256 = self.plan.provenance.tree_sha256, self.tree.tree.sha256
            self.wrong("provenance.tree_sha256", found, sha256, (("provenance", "tree_sha256"), sha256))
        if self.plan.solution == "none":
            if self.plan.recourse:
                self.wrong("recourse", f"{len(self.plan.recourse)} nodes", "none, as solution is none")
            return
        number = {name: node for node, name in enumerate(self.tree.names)}
        seen: set[int] = set()
        given: dict[int, tuple[Place, NodeDecision]] = {}
        for place, each in enumerate(self.plan.recourse):
            at: Place = ("recourse", place)
            node = number.get(each.node, 0)
            if node == 0 or node in seen or self.period[node] == ENDED:
                self.wrong(_text((*at, "node")), each.node, "each node of a later period once")
                continue
            seen.add(node)
            self._check_facts(at, each, node)
            self.chosen[node] = self._chosen(at, each, node)
            given[node] = (at, each)
        for node, point in enumerate(self.period):
            if point not in (_ROOT, ENDED):
                self._check_node(node)
        for node, (at, each) in given.items():
            self._check_failed(at, each, node)

    def terms(self) -> list[float]:
        """Terms of the objective: every node's net rewards and what its left tasks cost, by probability."""
        found = []
        for node, point in enumerate(self.period):
            if point == ENDED:
                continue
            here, chosen = self._round(node), self.chosen.get(node, [])
            terms = [term for offer in chosen for term in _net_terms(here, offer)]
            done = {here.task[offer] for offer in chosen} | here.committed
            cost: list[float] = here.instance.tasks.unassigned_cost.tolist()
            terms += [-each for task, each in enumerate(cost) if task not in done]
            found += [self.probability[node] * term for term in terms]
        return found

    def _round(self, node: int) -> Recount:
        key = (self.period[node], self.realisation[node])
        if key not in self._rounds:
            self._rounds[key] = Recount(self.tree.round_at(*key), self.plan.provenance.seed)
        return self._rounds[key]

    def _uses_of(self, node: int, offer: int) -> list[tuple[Key, float]]:
        key = (self.period[node], self.realisation[node], offer)
        if key not in self._uses:
            self._uses[key] = _uses(self._round(node), offer)
        return self._uses[key]

    def _path(self, node: int) -> list[int]:
        path = [node]
        while path[-1] != 0:
            path.append(self.parent[path[-1]])
        return path[::-1]

    def _check_facts(self, at: Place, given: NodeDecision, node: int) -> None:
        stage, period = int(self.tree.tree.stage[node]), self.instance.periods[self.period[node]].id
        if (given.stage, given.period) != (stage, period):
            right = ((*at, "stage"), stage), ((*at, "period"), period)
            self.wrong(_text(at), f"stage {given.stage}, {given.period}", f"stage {stage}, {period}", *right)
        chance = self.probability[node]
        if abs(given.probability - chance) > SUM_TOLERANCE:
            place = (*at, "probability")
            self.wrong(_text(place), given.probability, chance, (place, chance))

    def _check_failed(self, at: Place, given: NodeDecision, node: int) -> None:
        """Check what is said to have been seen to fail on entering a node."""
        above = {self.period[each]: each for each in self._path(node)}
        seen = self.tree.seen[self.period[node]]
        outcomes = seen.outcomes[self.realisation[node]].tolist()
        tasks, commitments = [], []
        things = zip(seen.point.tolist(), seen.item.tolist(), seen.is_commitment.tolist(), strict=True)
        for (point, item, is_commitment), succeeded in zip(things, outcomes, strict=True):
            if succeeded:
                continue
            if is_commitment:
                commitments.append(self.instance.commitments.ids[item])
            elif item in self.chosen.get(above[point], []):
                decided = self._round(above[point])
                tasks.append(decided.instance.tasks.ids[decided.task[item]])
        for name, found, expected in (
            ("failed", given.failed, tasks),
            ("failed_commitments", given.failed_commitments, commitments),
        ):
            if found != expected:
                self.wrong(_text((*at, name)), found, expected, ((*at, name), expected))

    def _chosen(self, where: Place, given: NodeDecision, node: int) -> list[int]:
        """Offers that are chosen at a node, each assignment checked."""
        here = self._round(node)
        number = {
            (name, operator, coprocessor < 0): offer
            for offer, (name, operator, coprocessor) in enumerate(
                zip(here.instance.offers.ids, here.operator, here.coprocessor, strict=True)
            )
        }
        operators = {name: v for v, name in enumerate(here.instance.operators.ids)}
        chosen = []
        for place, each in enumerate(given.assignments):
            at: Place = (*where, "assignments", place)
            offer = number.get((each.offer, operators.get(each.operator, -1), each.kind == "self"))
            if offer is None or offer in chosen or not here.eligible[offer]:
                self.wrong(_text((*at, "offer")), each.offer, "an eligible offer of the period, once")
                continue
            chosen.append(offer)
            self._check_assignment(at, each, here, offer)
        return chosen

    def _check_assignment(self, at: Place, given: Assignment, here: Recount, offer: int) -> None:
        facts: dict[str, Any] = {
            "task": here.instance.tasks.ids[here.task[offer]],
            "executor": here.executor_id(offer),
            "bid": here.bid[offer],
            "price": here.bid[offer],
            "collateral": here.collateral[offer],
            "success_probability": here.p[offer],
        }
        for name, expected in facts.items():
            if getattr(given, name) != expected:
                self.wrong(_text((*at, name)), getattr(given, name), expected, ((*at, name), expected))
        lost = here.slashing[offer] * (1.0 - here.p[offer])
        for name, terms in (
            ("expected_net_reward", _net_terms(here, offer)),
            ("expected_slashing", [lost]),
        ):
            total = math.fsum(terms)
            if abs(getattr(given, name) - total) > SUM_TOLERANCE * math.fsum(map(abs, terms)):
                self.wrong(_text((*at, name)), getattr(given, name), total, ((*at, name), total))

    # limits of a node

    def _check_node(self, node: int) -> None:
        here, name = self._round(node), self.tree.names[node]
        chosen = self.chosen.get(node, [])
        tasks = [here.task[offer] for offer in chosen]
        for task, id_ in enumerate(here.instance.tasks.ids):
            count = tasks.count(task)
            if count > 1 or (count == 0 and here.instance.tasks.required[task]):
                expected = "exactly 1" if here.instance.tasks.required[task] else "at most 1"
                self.wrong(f"task {id_} at {name}", f"{count} executors", expected)
        if not chosen:
            return  # what was decided before takes ever less
        asked = {key for offer in chosen for key, amount in self._uses_of(node, offer) if amount > 0.0}
        accounts = _accounts(here)
        for key, amount, is_known, is_held in self._taken(node):
            if key in accounts and key in asked:
                if not is_known:
                    self.wrong(f"{label(key)} at {name}", "an outcome that the tree lacks", "one it has")
                (accounts[key].held if is_held else accounts[key].terms).append(amount)
        for key, account in accounts.items():
            if key in asked and account.excess() > account.tolerance():
                found, most = account.total(), account.permitted()
                self.wrong(f"{label(key)} at {name}", f"{found:.12g}", f"at most {most:.12g}")
        for coprocessor, executor in enumerate(here.instance.coprocessors.ids):
            if here.deadlines.get(coprocessor):
                late = self._lateness(node, coprocessor)
                if late > 0.0:
                    self.wrong(f"deadlines of {executor} at {name}", f"{late:.12g} s late", "in time")

    def _taken(self, node: int) -> Iterator[tuple[Key, float, bool, bool]]:
        """What each decision on the path and each commitment takes at a node.

        With whether that is known, and whether it is a commitment's.
        """
        path = self._path(node)
        now = self._round(node).instance.now
        for at in path:
            decided = self._round(at)
            for offer in self.chosen.get(at, []):
                done = at != node and decided.instance.now + decided.duration[offer] <= now
                outcome = self._outcome(path, self.period[at], offer, decided.p[offer]) if done else None
                for key, amount in self._uses_of(at, offer):
                    if amount == 0.0:
                        continue
                    if not done:
                        yield key, amount, True, False
                    elif key[0] in _FORFEITABLE and outcome is not True:
                        yield key, amount, outcome is not None, False
        for key, amount, is_known in self._held(path, now):
            yield key, amount, is_known, True

    def _held(self, path: list[int], now: float) -> Iterator[tuple[Key, float, bool]]:
        instance, held = self.instance, self.instance.commitments
        for k in range(len(held)):
            operator, c = instance.operators.ids[held.operator[k]], int(held.coprocessor[k])
            executor = operator if c < 0 else instance.coprocessors.ids[c]
            slashing = float(instance.claims.slashing[held.claim[k]])
            p = float(held.success_probability[k])
            if float(held.release_at[k]) > now:
                loss = slashing * (1.0 - p)
                for resource, work in zip(instance.resources, held.work[k].tolist(), strict=True):
                    yield ("capacity", resource, executor), work, True
                yield ("stake", "", operator), slashing, True
                for name in {"network", operator, executor}:
                    yield ("expected loss", "", name), loss, True
                continue
            outcome = self._outcome(path, _ROOT, k, p, commitment=True)
            collateral = float(held.collateral[k])
            if c >= 0 and collateral > 0.0 and outcome is not False:
                # what comes back was taken off the free collateral before
                yield ("collateral", "", executor), -collateral, outcome is not None
            if slashing > 0.0 and outcome is not True:
                yield ("stake", "", operator), slashing, outcome is not None

    def _outcome(
        self, path: list[int], point: int, item: int, p: float, *, commitment: bool = False
    ) -> bool | None:
        """Whether something released succeeded; ``None`` where the tree does not say."""
        if p in (0.0, 1.0):
            return p == 1.0
        for node in path[1:]:
            period = self.period[node]
            if period not in self._seen:
                seen = self.tree.seen[period]
                things = zip(
                    seen.point.tolist(), seen.item.tolist(), seen.is_commitment.tolist(), strict=True
                )
                self._seen[period] = {each: column for column, each in enumerate(things)}
            column = self._seen[period].get((point, item, commitment))
            if column is not None:
                return bool(self.tree.seen[period].outcomes[self.realisation[node], column])
        return None

    def _lateness(self, node: int, coprocessor: int) -> float:
        """By how much the serial coprocessor's work misses a deadline, in seconds; 0 within the tolerance."""
        jobs: list[tuple[float, float, float]] = []
        free = float(self.instance.coprocessors.free_at[coprocessor])
        for at in self._path(node):
            decided = self._round(at)
            for offer in self.chosen.get(at, []):
                deadline = decided.deadline[decided.task[offer]]
                if decided.coprocessor[offer] == coprocessor and math.isfinite(deadline):
                    jobs.append((max(decided.instance.now, free), deadline, decided.duration[offer]))
        if not jobs:
            return 0.0
        # from the first start on: times of a clock have fewer digits left for seconds
        first = min(start for start, _, _ in jobs)
        jobs = [(start - first, deadline - first, duration) for start, deadline, duration in jobs]
        late = 0.0
        starts = sorted({start for start, _, _ in jobs})
        left = [list(job) for job in jobs]
        size = max((abs(deadline - start) for start, deadline, _ in jobs), default=0.0)
        for start, until in zip(starts, [*starts[1:], math.inf], strict=True):
            clock = start
            for job in sorted((job for job in left if job[0] <= start and job[2] > 0.0), key=lambda j: j[1]):
                worked = min(job[2], until - clock)
                clock += worked
                job[2] -= worked
                if job[2] <= 0.0:
                    late = max(late, clock - job[1])
                if clock >= until:
                    break
        return late if late > ROW * size else 0.0


def _text(place: Place) -> str:
    """A place in the plan, as violations name it."""
    return json_path(place).removeprefix("$.")


def _net_terms(here: Recount, offer: int) -> list[float]:
    """Terms of the expected net reward of one offer (MODEL 2.5)."""
    terms, p, bid = here.instance.terms, here.p[offer], here.bid[offer]
    paid = bid * p if terms.bid_paid == "on_success" and here.coprocessor[offer] >= 0 else bid
    back = terms.operator * here.collateral[offer] * terms.collateral_rate * (1.0 - p)
    return [here.reward[offer] * p, -paid, -here.slashing[offer] * (1.0 - p), back]


def _uses(here: Recount, offer: int) -> list[tuple[Key, float]]:
    """What an offer takes of which limits while it is held; tasks and deadlines aside."""
    operator, executor = here.operator_id(offer), here.executor_id(offer)
    loss = here.slashing[offer] * (1.0 - here.p[offer])
    used: list[tuple[Key, float]] = [
        (("capacity", resource, executor), amount)
        for resource, amount in zip(here.instance.resources, here.work[offer], strict=True)
    ]
    used.append((("stake", "", operator), here.slashing[offer]))
    used += [(("expected loss", "", name), loss) for name in sorted({"network", operator, executor})]
    if here.coprocessor[offer] >= 0:
        used.append((("collateral", "", executor), here.collateral[offer]))
    return used


def _accounts(here: Recount) -> dict[Key, Account]:
    """The limits of a period by key, with nothing counted against them yet."""
    instance = here.instance
    bounds: dict[Key, float] = {}
    for owners in (instance.coprocessors, instance.operators):
        for name, row in zip(owners.ids, owners.capacity.tolist(), strict=True):
            for resource, bound in zip(instance.resources, row, strict=True):
                bounds["capacity", resource, name] = bound
    for name, bound in zip(
        instance.coprocessors.ids, instance.coprocessors.free_collateral.tolist(), strict=True
    ):
        bounds["collateral", "", name] = bound
    for name, bound in zip(instance.operators.ids, instance.operators.stake.tolist(), strict=True):
        bounds["stake", "", name] = bound
    for limit in instance.risk:
        for member in here.members(limit.scope, limit.member):
            key = ("expected loss", "", member)
            bounds[key] = min(limit.budget, bounds.get(key, math.inf))
    decimals = instance.decimals
    return {
        key: Account(bound, decimals=decimals if key[0] in _FORFEITABLE else None)
        for key, bound in bounds.items()
        if math.isfinite(bound)
    }
