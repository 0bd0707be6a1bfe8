"""A small typed client of the service. Needs httpx: ``pip install 'bondwork[service]'``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from bondwork.plan.plan import Plan, load_plan
from bondwork.problem.faults import Fault, InvalidInput, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from bondwork.comparison.comparison import Comparison
    from bondwork.planner.planner import Taken
    from bondwork.planner.planner_schema import PlannerState
    from bondwork.program.program_solution import ProgramSolution


class ServiceError(RuntimeError):
    """The service answered that it could not do the work. ``status`` and ``word`` say why."""

    def __init__(self, status: int, word: str, reasons: list[str]) -> None:
        self.status = status
        self.word = word
        super().__init__(f"{word} ({status}): {'; '.join(reasons)}")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as last seen. Seconds, incumbent and bound are ``None`` until it told of them."""

    id: str
    state: Literal["waiting", "running", "stopping", "done"]
    seconds: float | None
    objective: float | None
    bound: float | None


class Client:
    """Talks to a service.

    Parameters
    ----------
    url
        Such as ``http://127.0.0.1:8723``.
    token
        Where the service asks for one.
    timeout
        Seconds to wait for an answer; longer than the time limit of a solve.
    http
        An httpx client of your own, for tests or proxies.

    Examples
    --------
    ``with Client("http://127.0.0.1:8723") as client: plan = client.solve(round_, time_limit=5)``
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8723",
        *,
        token: str | None = None,
        timeout: float = 900.0,
        http: httpx.Client | None = None,
    ) -> None:
        try:
            import httpx  # an extra
        except ModuleNotFoundError:
            raise ModuleNotFoundError("Client needs httpx: pip install 'bondwork[service]'") from None
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = http or httpx.Client(base_url=url, timeout=timeout)
        self._http.headers.update(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def solve(self, round_: Mapping[str, Any], **options: Any) -> Plan:
        """Solve a round and wait for the plan. Options are those of `bondwork.solve`.

        Raises
        ------
        InvalidInput, Refusal
            As `bondwork.solve` raises them.
        ServiceError
            The service could not: too busy, out of time or memory.
        """
        return load_plan(self._post("/solve", round_, options))

    def verify(self, asked: Mapping[str, Any], told: Plan | ProgramSolution | Mapping[str, Any]) -> bool:
        """Whether the plan of a round, or the solution of a stochastic program, is what it says."""
        from bondwork.program.program_schema import is_program

        document = dict(told) if isinstance(told, Mapping) else told.model_dump(mode="json")
        words = ("program", "solution") if is_program(asked) else ("round", "plan")
        body = dict(zip(words, (dict(asked), document), strict=True))
        return bool(json.loads(self._post("/verify", body))["verified"])

    def compare(self, rounds: list[Mapping[str, Any]], strategies: list[str], **options: Any) -> Comparison:
        """Set strategies side by side on rounds."""
        from bondwork.comparison.comparison import Comparison

        body = {"rounds": [dict(each) for each in rounds], "strategies": strategies}
        return Comparison.from_json(self._post("/compare", body, options))

    def planner(self, name: str) -> RemotePlanner:
        """A planner of the service, whether it is there yet or not."""
        return RemotePlanner(self._http, name)

    def start(self, round_: Mapping[str, Any], **options: Any) -> JobView:
        """Begin to solve a round; see `job`, `result` and `cancel`."""
        return _view(json.loads(self._post("/jobs/solve", round_, options)))

    def job(self, name: str) -> JobView:
        """Look where a job is."""
        return _view(json.loads(self._get(f"/jobs/{name}")))

    def cancel(self, name: str) -> JobView:
        """Ask a job to end with the best plan so far."""
        return _view(json.loads(_checked(self._http.delete(f"/jobs/{name}"))))

    def result(self, name: str, *, poll: float = 0.2) -> Plan:
        """Wait for a job's plan."""
        while self.job(name).state != "done":
            time.sleep(poll)
        return load_plan(self._get(f"/jobs/{name}/result"))

    def _post(self, path: str, body: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> bytes:
        asked = {name: value for name, value in (options or {}).items() if value is not None}
        return _checked(self._http.post(path, json=dict(body), params=asked))

    def _get(self, path: str) -> bytes:
        return _checked(self._http.get(path))


class RemotePlanner:
    """A planner that lives in a service; see `Client.planner`. Its methods are those of `bondwork.Planner`.

    An answer that never came is asked for again with the same ids: nothing is done twice.
    """

    def __init__(self, http: httpx.Client, name: str) -> None:
        self._http = http
        self._path = f"/planners/{name}"

    def create(
        self,
        *,
        decimals: int | None = None,
        currency: str | None = None,
        reputation: str | None = None,
        breaker: Mapping[str, Any] | None = None,
    ) -> PlannerState:
        """Make it; of one that is there, change what is given.

        ``breaker`` has ``loss``, ``failures`` and ``over``, see `bondwork.planner.breaker.Breaker`.
        """
        given = {"decimals": decimals, "currency": currency, "reputation": reputation, "breaker": breaker}
        body = {key: value for key, value in given.items() if value is not None}
        return _state(_checked(self._http.put(self._path, json=body)))

    def plan(self, round_: Mapping[str, Any], round_id: str | None = None, **options: Any) -> Plan:
        """Decide a round and commit to the plan. Options are those of `bondwork.solve`.

        Raises
        ------
        InvalidInput, Refusal
            As `bondwork.Planner.plan` raises them.
        ServiceError
            The service could not, or there is no such planner.
        """
        asked = {key: value for key, value in options.items() if value is not None}
        if round_id is not None:
            asked["round_id"] = round_id
        return load_plan(_checked(self._http.post(f"{self._path}/plan", json=dict(round_), params=asked)))

    def observe(self, outcomes: Sequence[Mapping[str, Any]]) -> Taken:
        """Take in how commitments ended: all of them, or none where one is at fault."""
        from bondwork.planner.planner import Taken

        body = {"outcomes": [dict(each) for each in outcomes]}
        return Taken(**json.loads(_checked(self._http.post(f"{self._path}/observe", json=body))))

    def reset(self, id_: str) -> PlannerState:
        """Close the breaker again, once for each ``id_``."""
        return _state(_checked(self._http.post(f"{self._path}/reset", params={"id": id_})))

    @property
    def state(self) -> PlannerState:
        """Accounts, open commitments, breaker and reputations."""
        return _state(_checked(self._http.get(self._path)))

    def delete(self) -> PlannerState:
        """Delete it; gives its last state."""
        return _state(_checked(self._http.delete(self._path)))


def _state(body: bytes) -> PlannerState:
    from bondwork.planner.planner_schema import PlannerState

    return PlannerState.model_validate_json(body)


def _view(told: dict[str, Any]) -> JobView:
    progress = told["progress"] or {"seconds": None, "objective": None, "bound": None}
    return JobView(told["id"], told["state"], progress["seconds"], progress["objective"], progress["bound"])


def _checked(response: httpx.Response) -> bytes:
    """The body of an answer; what went wrong as the exception that a direct call would raise."""
    if response.is_success:
        return response.content
    try:
        told = response.json()
    except ValueError:
        raise ServiceError(response.status_code, "no_answer", [response.text[:200]]) from None
    if told.get("error") == "invalid_input":
        raise InvalidInput([Fault(f["path"], f["found"], f["expected"]) for f in told["faults"]])
    if told.get("error") == "refused":
        raise Refusal(told["reasons"])
    raise ServiceError(response.status_code, told.get("error", "no_answer"), told.get("reasons", []))
