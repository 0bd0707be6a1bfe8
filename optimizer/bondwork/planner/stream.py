"""A planner spoken to in lines of JSON: one request in, one reply out, whatever the request is like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bondwork.planner.stream_schema import (
    REQUESTS,
    FaultLine,
    MoveRequest,
    ObserveRequest,
    PlanRequest,
    PrepareRequest,
    Reply,
    ResetRequest,
    StateRequest,
    TakenLine,
    field_names,
)
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, Refusal, Unverified, faults_of_schema

if TYPE_CHECKING:
    from bondwork.contracts import Observer
    from bondwork.planner.planner import Planner


def answer(planner: Planner, line: bytes, observer: Observer | None = None) -> str:
    r"""Answer one line of a stream.

    Parameters
    ----------
    planner
        Whom it is for.
    line
        One request: a JSON document.
    observer
        For the solves that it asks for.

    Returns
    -------
    str
        One line of JSON with its line break. A line that is not well-formed, or asks for what cannot be,
        is answered too, with every fault; only a bug raises.

    Examples
    --------
    >>> import bondwork
    >>> answer(bondwork.Planner(), b'{"id": 1, "op": "observe", "outcomes": []}')
    '{"format":"bondwork.stream/1","id":1,"op":"observe","ok":true,"taken":{"new":0,"repeated":0}}\n'
    >>> print(answer(bondwork.Planner(), b'{"id": 2, "op": "sell"}'), end="")  # doctest: +ELLIPSIS
    {"format":"bondwork.stream/1","id":2,"op":"sell","ok":false,"faults":[{"path":"$.op",...}]}
    """
    label: Any = None
    op: str | None = None
    try:
        document = parse_document(line)
        if isinstance(document, dict):
            label = document.get("id") if type(document.get("id")) in (str, int) else None
            op = document["op"] if isinstance(document.get("op"), str) else None
        reply = _honour(planner, document, label, observer)
    except InvalidInput as error:
        faults = [FaultLine(path=f.path, found=f.found, expected=f.expected) for f in error.faults]
        reply = Reply(id=label, op=op, ok=False, faults=faults)
    except Refusal as error:
        reply = Reply(id=label, op=op, ok=False, reasons=list(error.reasons))
    except Unverified as error:
        # what was found goes with the error: whoever asked may still want it
        reply = Reply(id=label, op=op, ok=False, reasons=[str(error)], plan=error.outcome)
    except OSError as error:
        reply = Reply(id=label, op=op, ok=False, reasons=[str(error)])
    # what does not belong to an answer is left out; a plan's own nulls stay
    used = [name for name in Reply.model_fields if getattr(reply, name) is not None or name in ("id", "op")]
    return reply.model_dump_json(include=set(used)) + "\n"


def _honour(planner: Planner, document: Any, label: Any, observer: Observer | None) -> Reply:
    try:
        request = REQUESTS.validate_python(document)
    except ValidationError as error:
        raise InvalidInput(_faults(error, document)) from None
    match request:
        case PlanRequest():
            with _inside("$.round"):
                plan = planner.plan(request.round, request.round_id, observer=observer)
            name = planner.round_id(request.round) if request.round_id is None else request.round_id
            return Reply(id=label, op="plan", ok=True, plan=plan, round_id=name)
        case PrepareRequest():
            with _inside("$.round"):
                return Reply(id=label, op="prepare", ok=True, round=planner.prepare(request.round))
        case ObserveRequest():
            with _inside("$.outcomes"):
                taken = planner.observe(request.outcomes)
            line = TakenLine(new=taken.new, repeated=taken.repeated)
            return Reply(id=label, op="observe", ok=True, taken=line)
        case MoveRequest():
            move = planner.deposit if request.op == "deposit" else planner.withdraw
            with _inside("$"):
                state = move(request.key, request.member, request.amount, request.fund)
            return Reply(id=label, op=request.op, ok=True, state=state)
        case ResetRequest():
            return Reply(id=label, op="reset", ok=True, state=planner.reset(request.key))
        case StateRequest():
            return Reply(id=label, op="state", ok=True, state=planner.state)


def _faults(error: ValidationError, document: Any) -> list[Fault]:
    """Faults of a line's form; pydantic names the kind of request in every place, which is no step in it."""
    kinds = ("plan", "prepare", "observe", "deposit", "withdraw", "state", "reset")
    details = error.errors(include_url=False)
    for each in details:
        if each["loc"] and each["loc"][0] in kinds:
            each["loc"] = each["loc"][1:]
    if not isinstance(document, dict):
        return [Fault("$", "no object", 'an object with "op"')]
    return faults_of_schema(details, document, field_names())


class _inside:  # noqa: N801 - used as a statement
    """Faults of a part of the line get the part's place in it."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InvalidInput):
            raise InvalidInput(
                Fault(self._place + f.path[1:], f.found, f.expected)
                if f.path.startswith("$")
                else Fault(f"$.{f.path}", f.found, f.expected)
                for f in error.faults
            ) from None
