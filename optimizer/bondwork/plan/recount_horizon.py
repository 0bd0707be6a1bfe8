"""A plan over the tree of later periods once more, node by node, in plain Python.

The tree is made again from the round and the seed; what it says of each node is believed, and nothing else.
Releases, forfeits, limits, serial work and the objective are worked out here again (MODEL 4). Serial work is
checked by running it, always the job with the earliest deadline first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from bondwork.base.tolerances import ROW
from bondwork.plan.findings import Findings
from bondwork.plan.recount import SUM_TOLERANCE, Account, Key, Recount, label
from bondwork.plan.recount_horizon_claims import Claim, HeldClaim
from bondwork.plan.recount_horizon_room import HorizonRoomRecount
from bondwork.plan.recount_loads import LoadRecount
from bondwork.problem.faults import json_path
from bondwork.uncertainty.horizon import ENDED, HorizonTree, horizon_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.findings import Place
    from bondwork.plan.plan import Assignment, NodeDecision, Plan
    from bondwork.plan.recount_loads import LoadAccount
    from bondwork.plan.recount_teams import Team, TeamRecount
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
        self._rooms: dict[int, HorizonRoomRecount] = {}
        #: Columns of what is seen on entering a period, by what it is an outcome of.
        self._seen: dict[int, dict[tuple[int, int, bool], int]] = {}
        #: Asked again at every node below: teams that a node chooses, and offers seen to fail on entering it.
        self._teams: dict[int, dict[int, Team]] = {}
        self._failed: dict[int, set[tuple[int, int]]] = {}

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
        later = [node for node, point in enumerate(self.period) if point not in (_ROOT, ENDED)]
        if left := len(later) - len(seen):
            said = f"{left} of {len(later)} nodes are not listed, and nothing is done there"
            self.unchecked.append(f"recourse: {said}")
        for node in later:
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
            terms = [
                term
                for team in here.teams.group(chosen)
                for term in here.net_terms(team, dict(enumerate(here.bid)))
            ]
            done = {here.task[offer] for offer in chosen} | here.committed
            cost: list[float] = here.instance.tasks.unassigned_cost.tolist()
            terms += [-each for task, each in enumerate(cost) if task not in done]
            terms += [each.worth() for each in self._loads(node)]
            terms += [-each for each in self._room_taken(node)]
            found += [self.probability[node] * term for term in terms]
        return found

    def room_terms(self) -> list[float]:
        """Worth of the room that is taken to the end of the paths, by node and team."""
        return [
            self.probability[node] * each
            for node, point in enumerate(self.period)
            if point != ENDED
            for each in self._room_taken(node)
        ]

    def _room_taken(self, node: int) -> list[float]:
        here, point = self._round(node), self.period[node]
        if not here.room.is_stated:
            return []
        if point not in self._rooms:
            self._rooms[point] = HorizonRoomRecount(self.tree.horizon, point, self._round(node))
        chances = here.teams.chances
        return [
            float(self._rooms[point].taken(team, here.slashing[team[0]], Fraction(chances(team)[0])))
            for team in here.teams.group(self.chosen.get(node, []))
        ]

    def _loads(self, node: int) -> list[LoadAccount]:
        """Loads that count at a node: work that is held there."""
        accounts = [each for each in LoadRecount(self._round(0), []).accounts if each.weight and each.scale]
        if not accounts:
            return []
        now, path = self._round(node).instance.now, self._path(node)
        work: list[tuple[int, list[float]]] = []
        for at in path:
            decided = self._round(at)
            work += [
                (decided.coprocessor[offer], list(decided.work[offer]))
                for offer in self.chosen.get(at, [])
                if at == node or decided.instance.now + decided.duration[offer] > now
            ]
        held = self.instance.commitments
        release_at: list[float] = held.release_at.tolist()
        work += [
            (who, held.work[k].tolist())
            for k, who in enumerate(held.coprocessor.tolist())
            if node == 0 or release_at[k] > now
        ]
        return [
            replace(each, work=tuple(w[each.resource] for who, w in work if who == each.coprocessor))
            for each in accounts
        ]

    def permitted_load_error(self) -> float:
        """How far straight pieces may be above the incentives at all nodes: a share of the range of each."""
        accounts = LoadRecount(self._round(0), []).accounts
        reached = sum(
            chance for chance, point in zip(self.probability, self.period, strict=True) if point != ENDED
        )
        return reached * math.fsum(each.largest_error() for each in accounts if each.weight and each.scale)

    @property
    def root_teams(self) -> TeamRecount:
        """Teams of the round itself, commitments among them."""
        return self._round(0).teams

    def path_claims(self, node: int) -> Iterator[tuple[int, Recount, Team]]:
        """What was chosen on the way to a node and at it: decision point, its round there, and the team."""
        for at in self._path(node):
            decided = self._round(at)
            for team in decided.teams.group(self.chosen.get(at, [])):
                yield self.period[at], decided, team

    def seen_of(self, node: int, point: int, item: int, p: float, *, commitment: bool = False) -> bool | None:
        """Whether something succeeded, as far as is known at a node; ``None`` where it is not seen yet."""
        return self._outcome(self._path(node), point, item, p, commitment=commitment)

    def _round(self, node: int) -> Recount:
        key = (self.period[node], self.realisation[node])
        if key not in self._rounds:
            self._rounds[key] = Recount(self.tree.round_at(*key), self.plan.provenance.seed)
        return self._rounds[key]

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
        tasks, commitments = dict[tuple[int, int], str](), []
        things = zip(seen.point.tolist(), seen.item.tolist(), seen.is_commitment.tolist(), strict=True)
        for (point, item, is_commitment), succeeded in zip(things, outcomes, strict=True):
            if succeeded:
                continue
            if is_commitment:
                commitments.append(self.instance.commitments.ids[item])
            elif item in (teams := self._teams_at(above[point])):
                decided = self._round(above[point])
                claim = decided.teams.claim[item]
                team = teams[item]
                spare = len(team) - decided.teams.quorum[claim]
                if self._lost_by(node, point, team) > spare >= self._lost_by(self.parent[node], point, team):
                    tasks[point, claim] = decided.instance.tasks.ids[decided.task[item]]
        for name, found, expected in (
            ("failed", given.failed, list(tasks.values())),
            ("failed_commitments", given.failed_commitments, commitments),
        ):
            if found != expected:
                self.wrong(_text((*at, name)), found, expected, ((*at, name), expected))

    def _lost_by(self, node: int, point: int, team: Team) -> int:
        """How many of a team are seen to have failed at a node or on the way to it."""
        failed = [self._failed_at(at) for at in self._path(node)[1:]]
        return sum((point, offer) in each for each in failed for offer in team)

    def _failed_at(self, node: int) -> set[tuple[int, int]]:
        """Offers, by the decision point that chose them, that are seen to fail on entering a node."""
        if node not in self._failed:
            seen = self.tree.seen[self.period[node]]
            bad = ~seen.outcomes[self.realisation[node]] & ~seen.is_commitment
            self._failed[node] = set(zip(seen.point[bad].tolist(), seen.item[bad].tolist(), strict=True))
        return self._failed[node]

    def _teams_at(self, node: int) -> dict[int, Team]:
        """The team of each offer that a node chooses."""
        if node not in self._teams:
            teams = self._round(node).teams.group(self.chosen.get(node, []))
            self._teams[node] = {offer: team for team in teams for offer in team}
        return self._teams[node]

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
        chosen: list[int] = []
        known: list[tuple[Place, Assignment, int]] = []
        for place, each in enumerate(given.assignments):
            at: Place = (*where, "assignments", place)
            offer = number.get((each.offer, operators.get(each.operator, -1), each.kind == "self"))
            if offer is None or offer in chosen or not here.eligible[offer]:
                self.wrong(_text((*at, "offer")), each.offer, "an eligible offer of the period, once")
                continue
            chosen.append(offer)
            known.append((at, each, offer))
        team_of = {offer: team for team in here.teams.group(chosen) for offer in team}
        for at, each, offer in known:
            self._check_assignment(at, each, here, offer, team_of[offer])
        return chosen

    def _check_assignment(self, at: Place, given: Assignment, here: Recount, offer: int, team: Team) -> None:
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
        benefit = [term / len(team) for term in here.benefit_terms(team)]
        for name, terms in (
            ("expected_net_reward", benefit + here.paid_terms(offer, here.bid[offer])),
            ("expected_slashing", [-term for term in benefit[1:]]),
        ):
            total = math.fsum(terms)
            if abs(getattr(given, name) - total) > SUM_TOLERANCE * math.fsum(map(abs, terms)):
                self.wrong(_text((*at, name)), getattr(given, name), total, ((*at, name), total))

    # limits of a node

    def _check_node(self, node: int) -> None:
        here, name = self._round(node), self.tree.names[node]
        chosen = self.chosen.get(node, [])
        self._check_tasks(name, here, chosen)
        claims = list(self._claims(node))
        if not chosen and not any(claim.is_half_done for claim, _ in claims):
            return  # what was decided before takes ever less
        teams = here.teams.group(chosen)
        asked = {key for team in teams for key, amount in here.uses(team) if amount > 0.0}
        # but for what is expected to be lost of a claim of which some have failed
        asked |= {
            key
            for claim, _ in claims
            if claim.is_half_done
            for key, _, _ in claim.taken()
            if key[0] == "expected loss"
        }
        accounts = _accounts(here)
        taken = ((*each, is_held) for claim, is_held in claims for each in claim.taken())
        for key, amount, is_known, is_held in taken:
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

    def _check_tasks(self, name: str, here: Recount, chosen: list[int]) -> None:
        """Check that every task has one operator, and as many different executors as it may have."""
        tasks = here.instance.tasks
        offers_of: dict[int, list[int]] = {}
        for offer in chosen:
            offers_of.setdefault(here.task[offer], []).append(offer)
        for task in sorted({*offers_of, *tasks.required.nonzero()[0].tolist()}):
            id_, mine = tasks.ids[task], offers_of.get(task, [])
            least, most = int(tasks.quorum[task]), int(tasks.replicas[task])
            if (mine and not least <= len(mine) <= most) or (not mine and tasks.required[task]):
                expected = f"{least} to {most}" + ("" if tasks.required[task] else ", or none")
                self.wrong(f"task {id_} at {name}", f"{len(mine)} executors", expected)
            if len({here.executor_id(offer) for offer in mine}) < len(mine):
                self.wrong(f"task {id_} at {name}", "an executor twice", "different executors")
            if len({here.operator[offer] for offer in mine}) > 1:
                self.wrong(f"task {id_} at {name}", "executors for several operators", "one operator")

    def _claims(self, node: int) -> Iterator[tuple[Claim, bool]]:
        """Everything that was decided on the path of a node, and commitments; with whether it is these."""
        path = self._path(node)
        now = self._round(node).instance.now
        for at in path:
            decided = self._round(at)
            for team in dict.fromkeys(self._teams_at(at).values()):
                done = [at != node and decided.instance.now + decided.duration[o] <= now for o in team]
                ends = [
                    self._outcome(path, self.period[at], o, decided.p[o]) if over else None
                    for o, over in zip(team, done, strict=True)
                ]
                quorum = decided.teams.quorum[decided.teams.claim[team[0]]]
                yield Claim(decided, team, quorum, done, ends), False
        root = self._round(0)
        release_at: list[float] = self.instance.commitments.release_at.tolist()
        for team in root.teams.held():
            done = [node != 0 and release_at[k] <= now for k in team]
            ends = [
                self._outcome(path, _ROOT, k, root.teams.held_p[k], commitment=True) if over else None
                for k, over in zip(team, done, strict=True)
            ]
            yield HeldClaim(root, team, root.teams.held_quorum(team), done, ends), True

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


def _accounts(here: Recount) -> dict[Key, Account]:
    """The limits of a period by key, with nothing counted against them yet."""
    instance = here.instance
    bounds: dict[Key, float] = {}
    for owners in (instance.coprocessors, instance.operators):
        for name, row in zip(owners.ids, owners.capacity.tolist(), strict=True):
            for resource, bound in zip(instance.resources, row, strict=True):
                bounds["capacity", resource, name] = bound
    solvent = [limit.member for limit in instance.risk if limit.measure == "solvency"]
    for c, bound in enumerate(instance.coprocessors.free_collateral.tolist()):
        if c not in solvent and None not in solvent:  # a limit on the insolvency replaces the budget
            bounds["collateral", "", instance.coprocessors.ids[c]] = bound
    for name, bound in zip(instance.operators.ids, instance.operators.stake.tolist(), strict=True):
        bounds["stake", "", name] = bound
    for limit in instance.risk:
        if limit.measure != "expected":
            continue
        for member in here.members(limit.scope, limit.member):
            key = ("expected loss", "", member)
            bounds[key] = min(limit.budget, bounds.get(key, math.inf))
    decimals = instance.decimals
    return {
        key: Account(bound, decimals=decimals if key[0] in _FORFEITABLE else None)
        for key, bound in bounds.items()
        if math.isfinite(bound)
    }
