"""The best rescues of one outcome where few tasks compete: an exhaustive search, without a solver.

What failed in one outcome is a handful of tasks with a few rescues each. A call of HiGHS costs ten
milliseconds whatever it is asked; the search below takes some microseconds for each choice it looks at, and
gives up where there are many.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from bondwork.arrays import FloatArray, IntArray

#: Choices that a search may look at before a call of HiGHS is cheaper.
MOST_STEPS = 3_000


class Rescues(NamedTuple):
    """Columns of one task that fit by themselves, dearest first; a tie goes to the first."""

    columns: list[int]
    cost: list[float]


class FewRescues:
    """Decides nodes whose rows bound sums of what is not negative, and whose columns are yes or no.

    Parameters
    ----------
    rows
        Shape (m, n). Entries, none negative.
    cost
        Shape (n,). What each column adds.
    task
        Shape (n,) at least of those that are ever asked for. Of each task one column is taken at most.
    """

    def __init__(self, rows: csc_array, cost: FloatArray, task: IntArray) -> None:
        ends, row, need = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
        self.needs = [
            list(zip(row[begin:end], need[begin:end], strict=True)) for begin, end in itertools.pairwise(ends)
        ]
        self.cost: list[float] = cost.tolist()
        self.task: list[int] = task.tolist()

    def filled(self, active: list[int], room: list[float]) -> list[int]:
        """Columns taken in the order of what they add, while they fit."""
        left, chosen = [*room], []
        for j in sorted(active, key=lambda j: -self.cost[j]):
            if self.fits(j, left):
                chosen.append(j)
                self.take(j, left)
        return chosen

    def best(self, active: list[int], room: list[float], steps: int) -> list[int] | None:
        """Columns to take of some, at the room of each row; ``None`` where a search takes more steps.

        Each of them fits by itself.
        """
        chosen, others = self._competing(active, room)
        left = [*room]
        for j in chosen:
            self.take(j, left)
        for some in self._apart(others):
            search = _Search(self, some, left, steps)
            if not search.run():
                return None
            steps = search.steps
            chosen = chosen + search.chosen
        return chosen

    def take(self, column: int, left: list[float]) -> None:
        """Let a column take what it needs of what is left."""
        for row, need in self.needs[column]:
            left[row] -= need

    def fits(self, column: int, left: list[float]) -> bool:
        """Whether what is left is enough for a column."""
        return all(need <= left[row] for row, need in self.needs[column])

    def _competing(self, active: list[int], left: list[float]) -> tuple[list[int], list[Rescues]]:
        """Columns that are taken whatever else is, and the rescues of tasks that compete for some row."""
        tasks: dict[int, Rescues] = {}
        for j in sorted(active, key=lambda j: -self.cost[j]):
            mine = tasks.setdefault(self.task[j], Rescues([], []))
            mine.columns.append(j)
            mine.cost.append(self.cost[j])
        most: dict[int, float] = {}
        for each in tasks.values():
            for row, need in self._most(each).items():
                most[row] = most.get(row, 0.0) + need
        scarce = {row for row, need in most.items() if need > left[row]}
        sure, others = [], []
        for each in tasks.values():
            if any(row in scarce for row, _ in self.needs[each.columns[0]]):
                others.append(each)
            else:
                sure.append(each.columns[0])
        return sure, others

    def _most(self, rescues: Rescues) -> dict[int, float]:
        """What a task needs of each row at most."""
        most: dict[int, float] = {}
        for j in rescues.columns:
            for row, need in self.needs[j]:
                most[row] = max(most.get(row, 0.0), need)
        return most

    def _apart(self, tasks: list[Rescues]) -> list[list[Rescues]]:
        """Tasks in groups that share no row."""
        groups: list[tuple[set[int], list[Rescues]]] = []
        for each in tasks:
            rows = {row for j in each.columns for row, _ in self.needs[j]}
            mine, others = [each], []
            for group in groups:
                if group[0].isdisjoint(rows):
                    others.append(group)
                else:
                    rows, mine = rows | group[0], group[1] + mine
            groups = [*others, (rows, mine)]
        return [group for _, group in groups]


class _Search:
    """Depth first, dearest tasks first, cut off where the best of all that is left adds too little."""

    def __init__(self, of: FewRescues, tasks: list[Rescues], left: list[float], steps: int) -> None:
        self.of, self.left, self.steps = of, left, steps
        self.tasks = sorted(tasks, key=lambda each: -each.cost[0])
        self.rest = [0.0]
        for each in reversed(self.tasks):
            self.rest.append(self.rest[-1] + each.cost[0])
        self.rest.reverse()
        self.value, self.chosen = -1.0, list[int]()
        self.path = list[int]()

    def run(self) -> bool:
        """Whether the search came to its end."""
        self._descend(0, 0.0)
        return self.steps > 0

    def _descend(self, depth: int, value: float) -> None:
        if depth == len(self.tasks):
            if value > self.value:
                self.value, self.chosen = value, [*self.path]
            return
        task = self.tasks[depth]
        for column, cost in zip(task.columns, task.cost, strict=True):
            self.steps -= 1
            if self.steps <= 0 or value + cost + self.rest[depth + 1] <= self.value:
                break
            if self.of.fits(column, self.left):
                # what is given back is what was there: differences of floats would not be
                before = [(row, self.left[row]) for row, _ in self.of.needs[column]]
                self.of.take(column, self.left)
                self.path.append(column)
                self._descend(depth + 1, value + cost)
                self.path.pop()
                for row, amount in before:
                    self.left[row] = amount
        if self.steps > 0 and value + self.rest[depth + 1] > self.value:
            self._descend(depth + 1, value)
