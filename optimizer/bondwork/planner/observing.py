"""Observations: which are new, which are known, and which cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.planner.composing import text_of
from bondwork.planner.events import Observed
from bondwork.planner.planner_schema import Outcome, outcome_to_json
from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.planner.journal import Journal


class Sorting:
    """Sorts observations against a journal.

    Attributes
    ----------
    new
        What is to be recorded, by the observation's id.
    repeated
        How many were known.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._faults: list[Fault] = []
        self._ended: dict[str, Observed] = {}
        self.new: dict[str, Observed] = {}
        self.repeated = 0

    def sort(self, given: Sequence[Outcome]) -> None:
        """Sort them all.

        Raises
        ------
        InvalidInput
            With every fault.
        """
        for number, each in enumerate(given):
            self._sort(each, f"$[{number}]")
        if self._faults:
            raise InvalidInput(self._faults)

    def _sort(self, each: Outcome, path: str) -> None:
        commitment = self._commitment_of(each, path)
        id_ = each.id if each.id is not None else commitment
        text = outcome_to_json(each)
        known = None if id_ is None else self.new.get(id_) or self._journal.find(f"observed:{id_}")
        if isinstance(known, Observed):
            if known.given != text:
                self._refuse(
                    f"{path}.id",
                    f"{preview(id_)}, the id of another observation",
                    "an id of its own for each observation",
                )
            self.repeated += 1
        elif commitment is not None and id_ is not None:
            self._end(commitment, id_, each, text, path)

    def _end(self, commitment: str, id_: str, each: Outcome, text: str, path: str) -> None:
        """Let a commitment end, unless it has."""
        before = self._ended.get(commitment) or self._journal.ending(commitment)
        if before is not None and before.outcome == each.outcome:
            self.repeated += 1
        elif before is not None:
            found = f"{each.outcome}, of a commitment that {before.outcome} already"
            self._refuse(f"{path}.outcome", found, before.outcome)
        elif each.held_until is not None and each.outcome == "failed":
            self._refuse(f"{path}.held_until", f"{each.held_until:g}", "nothing: it is forfeited")
        elif commitment not in self._journal.books.open:
            self._refuse(
                f"{path}.commitment", preview(commitment), "an open commitment; the state lists them"
            )
        else:
            reward = None if each.reward is None else text_of(each.reward)
            event = Observed(commitment, each.outcome, text, each.rescuer, reward, each.held_until)
            self.new[id_] = self._ended[commitment] = event

    def _commitment_of(self, each: Outcome, path: str) -> str | None:
        """Which commitment an observation is about; ``None`` where there is no saying."""
        if (each.commitment is None) == (each.task is None):
            self._refuse(path, "neither or both of commitment and task", "one of them")
            return None
        if each.commitment is not None:
            return each.commitment
        if each.id is None:
            self._refuse(path, "no id", "an id, where the task is given and not the commitment")
            return None
        if each.id in self.new or self._journal.find(f"observed:{each.id}") is not None:
            return None  # known, and compared by its id
        found = [
            work.id
            for work in self._journal.books.open.values()
            if work.task == each.task and each.executor in (None, work.executor)
        ]
        if len(found) == 1:
            return found[0]
        expected = "a task that is given away" if not found else "executor too: several do the task"
        self._refuse(f"{path}.task", preview(each.task), expected)
        return None

    def _refuse(self, path: str, found: str, expected: str) -> None:
        self._faults.append(Fault(path, found, expected))
