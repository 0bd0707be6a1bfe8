"""The JSON forms of laws (FORMAT.md), both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bondwork.uncertainty.counts import NegativeBinomial, Outage, Poisson, WorkOverrun
from bondwork.uncertainty.laws import Beta, Bootstrap, Constant, Lognormal, Normal, Uniform, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.uncertainty.laws import Law

_FIELDS: dict[str, tuple[Callable[..., Law], tuple[str, ...]]] = {
    "lognormal": (Lognormal, ("mean", "cv")),
    "values": (Values, ("values", "probabilities")),
    "bootstrap": (Bootstrap, ("values",)),
    "normal": (Normal, ("mean", "sd")),
    "uniform": (Uniform, ("low", "high")),
    "poisson": (Poisson, ("mean",)),
    "negative_binomial": (NegativeBinomial, ("mean", "dispersion")),
    "outage": (Outage, ("probability",)),
    "overrun": (WorkOverrun, ("factor",)),
}
_NAMES = {make: name for name, (make, _) in _FIELDS.items()}


def law_from_json(form: object) -> Law:
    """Read a law: a number, a decimal string, ``{"law": NAME, ...}`` or ``{"mean", "concentration"}``.

    Raises
    ------
    ValueError
        For an unknown law, a missing or unknown field, or a number out of range; the message names it.

    Examples
    --------
    >>> law_from_json({"law": "lognormal", "mean": 10.0, "cv": 0.3})
    Lognormal(mean=10.0, cv=0.3)
    >>> law_from_json({"mean": 0.9, "concentration": 40})
    Beta(mean=0.9, concentration=40.0)
    """
    if isinstance(form, int | float | str):
        return Constant(_number(form, "value"))
    if not isinstance(form, Mapping):
        raise ValueError(f"law is {form!r}, expected a number or an object")  # noqa: TRY004 - bad input
    if "law" not in form:
        _check_fields(form, ("mean", "concentration"), "a law without a name")
        return Beta(_number(form["mean"], "mean"), _number(form["concentration"], "concentration"))
    name = form["law"]
    if name not in _FIELDS:
        raise ValueError(f"law is {name!r}, expected one of {', '.join(_FIELDS)}")
    make, fields = _FIELDS[name]
    _check_fields(form, ("law", *fields), f"law {name!r}")
    return make(**{field: _read(form[field], field) for field in fields})


def law_to_json(law: Law) -> float | dict[str, Any]:
    """Write a law in the form that `law_from_json` reads.

    Examples
    --------
    >>> law_to_json(Values((2.0, 6.0), (0.5, 0.5)))
    {'law': 'values', 'values': [2.0, 6.0], 'probabilities': [0.5, 0.5]}
    """
    if isinstance(law, Constant):
        return law.value
    if isinstance(law, Beta):
        return {"mean": law.mean, "concentration": law.concentration}
    name = _NAMES.get(type(law))
    if name is None:
        raise TypeError(f"{type(law).__name__} has no JSON form")
    return {"law": name} | {field: _write(getattr(law, field)) for field in _FIELDS[name][1]}


def _read(value: object, field: str) -> object:
    if field == "factor":
        return law_from_json(value)
    if field in ("values", "probabilities"):
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ValueError(f"{field} is {value!r}, expected a list of numbers")
        return tuple(_number(item, field) for item in value)
    return _number(value, field)


def _write(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, float | int) else law_to_json(value)  # type: ignore[arg-type]


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{field} is {value!r}, expected a number")  # noqa: TRY004 - bad input
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{field} is {value!r}, expected a number") from None


def _check_fields(form: Mapping[str, object], expected: tuple[str, ...], what: str) -> None:
    missing = [field for field in expected if field not in form]
    unknown = [field for field in form if field not in expected]
    if missing or unknown:
        raise ValueError(f"{what} has fields {sorted(form)}, expected {sorted(expected)}")
