"""What the certificate of a program's solution proves, in fractions from the dense matrix of all nodes."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.extensive import extensive_form
from bondwork.program.program_multipliers import read_multipliers
from program.hostile_programs import hostile_program
from program.open_programs import open_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.program.stochastic import StochasticProgram


def people_program(seed: int) -> StochasticProgram:
    """A tiny program in amounts as people write them: with and without bounds, whole, some infeasible.

    Those whose seed is a multiple of 3 have bounds and an optimum in `program.hostile_programs`.
    """
    if seed % 3 == 0:
        return hostile_program(seed, least=-2, most=2)
    draw = random.Random(f"program {seed}")
    whole, sound = draw.random() < 0.5, draw.random() < 0.7
    return open_program(seed, scale=draw.choice([1.0, 1.0, 1e-3, 1e9]), whole=whole, sound=sound)


class ProgramProof:
    """What multipliers prove of a program.

    Attributes
    ----------
    bound
        In the sense of the program; ``None`` where a column lacks the bound that it earns along.
    size, largest
        Sum of the sizes of what the bound is made of, and the largest of them.
    """

    def __init__(
        self, program: StochasticProgram, multipliers: Sequence[str | int | float], *, earning: bool = True
    ) -> None:
        self.size = self.largest = Fraction(0)
        self.sign = 1 if program.sense == "max" else -1
        self.form = extensive_form(program)
        self.dense = self.form.matrices.matrix.toarray()
        self.y = [Fraction(0)] * len(self.dense)
        self.taken = [Fraction(0)] * self.dense.shape[1]
        for (node, row, *user), value in read_multipliers(multipliers).items():
            at = int(self.form.row_start[node]) + row  # -1 finds where linking rows begin
            if user:
                self._open(at, user[0], self.sign * Fraction(value))
            else:
                self.y[at] = self.sign * Fraction(value)
        total = self._bound(program, earning=earning)
        self.bound = None if total is None else self.sign * total

    def _open(self, row: int, user: int, y: Fraction) -> None:
        """Of a u + ... <= sum of b z: u <= sum of min(1, b / a) z."""
        matrices, dense = self.form.matrices, self.dense[row]
        line = [Fraction(float(each)) for each in dense]
        line = [-each for each in line] if line[user] < 0 else line
        assert (matrices.row_upper if dense[user] > 0 else matrices.row_lower)[row] == 0.0
        assert all(matrices.lower[k] >= 0.0 for k in np.flatnonzero(dense)) and y >= 0
        self.taken[user] += y
        for k, each in enumerate(line):
            if each < 0:
                share = -each / line[user]
                self.taken[k] -= y * (min(share, Fraction(1)) if matrices.integer[k] else share)

    def _bound(self, program: StochasticProgram, *, earning: bool) -> Fraction | None:
        matrices, bound = self.form.matrices, Fraction(0)
        for number, y in enumerate(self.y):
            if y:
                limit = matrices.row_upper[number] if y > 0 else matrices.row_lower[number]
                bound += self._counted(y * Fraction(float(limit)))
        chance = [Fraction(float(program.conditional[0]))]
        for node, above in enumerate(program.parent.tolist()[1:], 1):
            chance.append(chance[above] * Fraction(float(program.conditional[node])))
        for node in range(len(program)):
            weight = self.sign * chance[node] if earning else Fraction(0)
            bound += self._counted(weight * Fraction(program.node(node).constant))
            for k, cost in enumerate(program.node(node).cost.tolist()):
                column = int(self.form.column_start[node]) + k
                left = weight * Fraction(cost) - self.taken[column]
                for i in np.flatnonzero(self.dense[:, column]):
                    left -= self.y[i] * Fraction(float(self.dense[i, column]))
                if left:
                    at = float((matrices.upper if left > 0 else matrices.lower)[column])
                    if not math.isfinite(at):
                        return None
                    if matrices.integer[column]:
                        at = math.floor(at) if left > 0 else math.ceil(at)
                    bound += self._counted(left * Fraction(at))
        return bound

    def _counted(self, term: Fraction) -> Fraction:
        self.size += abs(term)
        self.largest = max(self.largest, abs(term))
        return term
