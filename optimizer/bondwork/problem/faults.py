"""What is wrong with an input: every fault with its place, what was found and what was expected."""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

#: Longest text of a found value in a message.
_PREVIEW = 60

#: Characters of a text that is shown whole: ids may be hashes with something before them.
_LONGEST_ID = 200

#: Faults of a document's form that are listed; nobody reads more, and each takes memory.
MOST_FAULTS = 100_000

#: Different unknown names of fields that are compared with the known ones.
_MOST_HINTS = 1000

#: Python writes no whole number of more than 4300 digits.
_BITS_SHOWN = 10_000

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input.

    Attributes
    ----------
    path
        JSON path such as ``$.offers[3].bid``, or a line of a file that is not JSON.
    found
        The value found there, shortened.
    expected
        What should stand there.
    """

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, expected {self.expected}"


class InvalidInput(ValueError):
    """Input that was refused. ``faults`` holds every fault, in the order of the input."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Refusal(ValueError):
    """A valid input that a strategy cannot honour. ``reasons`` says what and why, one text each."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class LongNumber(float):
    """A whole number of more digits than Python reads; its value is infinite, so that no field takes it."""

    def __new__(cls, text: str) -> LongNumber:  # noqa: D102
        number = super().__new__(cls, "-inf" if text.startswith("-") else "inf")
        number.text = text
        return number

    text: str


class Unverified(RuntimeError):
    """A result did not pass its independent check: a bug of whoever made it.

    ``outcome`` is what did not pass, with its violations, where there is something to hand out beside the
    error: a plan, or the solution of a program.
    """

    outcome: Any = None


def preview(value: object) -> str:
    """Show a value of a JSON document in a few characters, whatever it is; an id as it is written."""
    match value:
        case LongNumber():
            return f"{value.text[: _PREVIEW - 3]}... ({len(value.text)} characters)"
        case int() if value.bit_length() > _BITS_SHOWN:
            return f"a whole number of {value.bit_length()} bits"
        case str():
            text = _quoted(value[: _LONGEST_ID + 1])
            return text if len(value) <= _LONGEST_ID else f"{text[: _PREVIEW - 3]}..."
        case dict():
            names = ", ".join(preview(key) for key in list(value)[:4])
            return f"an object ({names}{', ...' if len(value) > 4 else ''})" if value else "an empty object"
        case list() | tuple():
            return f"an array of {len(value)}"
        case float() if not math.isfinite(value):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        case None | bool() | int() | float():
            text = json.dumps(value)
            return text if len(text) <= _PREVIEW else f"{text[: _PREVIEW - 3]}..."
    return type(value).__name__


def _quoted(text: str) -> str:
    """Write a text as JSON, whatever can be read left as it is."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in shown)


def json_path(parts: Iterable[int | str]) -> str:
    """Write a place in a document as a JSON path: ``$.offers[3].bid``, ``$.work["gpu hours"]``."""
    text = "$"
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}"
        else:
            text += f"[{json.dumps(part)}]"
    return text


def faults_of_schema(
    errors: Sequence[ErrorDetails], document: object, field_names: Iterable[str]
) -> list[Fault]:
    """Translate pydantic's errors about ``document`` into faults with JSON paths.

    Where a value may have several forms, pydantic reports one error for each form, with the form's name in
    the location: those names are taken out and only errors about the form that was meant are kept.
    """
    hints = _Hints(field_names)
    expected: dict[tuple[str, str], list[str]] = {}
    other_forms: dict[tuple[str, str], list[str]] = {}
    for error in errors[:MOST_FAULTS]:
        kind = error["type"]
        steps, value, at_form = _place(document, error["loc"], names_field=kind in _ABOUT_A_FIELD)
        if kind.startswith("union_tag") and isinstance(value, dict):
            tag = error["ctx"]["discriminator"].strip("'")
            steps = [*steps, tag]
            found = preview(value[tag]) if tag in value else "nothing"
        else:
            found = "nothing" if kind == "missing" else preview(error["input"])
        # an object was meant as another form, if there is one: a number's or a string's error is noise then
        is_noise = at_form and isinstance(value, dict) and not kind.startswith("union_tag")
        told = other_forms if is_noise else expected
        texts = told.setdefault((json_path(steps), found), [])
        text = _expectation(error, hints)
        if text not in texts:
            texts.append(text)
    paths = tuple(path for path, _ in expected)
    expected |= {
        (path, found): texts
        for (path, found), texts in other_forms.items()
        if not any(each == path or each.startswith((f"{path}.", f"{path}[")) for each in paths)
    }
    faults = [Fault(path, found, " or ".join(texts)) for (path, found), texts in expected.items()]
    if len(errors) > MOST_FAULTS:
        faults.append(Fault("$", f"{len(errors) - MOST_FAULTS} more faults", "none"))
    return faults


#: Errors whose location ends in a field that need not be in the document.
_ABOUT_A_FIELD = ("missing", "extra_forbidden")

#: Fields that say which form an object has, and those forms that are also names of fields.
_TAG_FIELDS = ("law", "measure")
_TAGS = ("values",)


def _place(
    document: object, location: tuple[int | str, ...], *, names_field: bool
) -> tuple[list[int | str], object, bool]:
    """Follow ``location`` into ``document``.

    Return the steps that are really in the document, the value they lead to, and whether the location ends
    in the name of a form (pydantic's name for one of several types) instead of a step.
    """
    steps: list[int | str] = []
    value = document
    at_form = tagged = False
    for position, part in enumerate(location):
        at_form = False
        if isinstance(value, dict) and part in _TAGS and part in map(value.get, _TAG_FIELDS) and not tagged:
            at_form = tagged = True
            continue
        tagged = False
        inside_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside_list or (isinstance(value, dict) and part in value):
            value = value[part]  # type: ignore[index]  # one of the two kinds that were asked for
        elif not (names_field and position == len(location) - 1):
            at_form = part != "[key]"
            continue
        steps.append(part)
    return steps, value, at_form


#: What was expected, by pydantic's error type; the rest is said in pydantic's own words.
_EXPECTED = {
    "missing": "a value: the field is required",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "string_unicode": "a string of valid Unicode",
    "string_too_short": "a string that is not empty",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "finite_number": "a finite number",
    "none_required": "null",
    "too_short": "an array that is not empty",
}


def _expectation(error: ErrorDetails, hints: _Hints) -> str:
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return f"no field of this name{hints.about(str(error['loc'][-1]))}"
        case "greater_than_equal":
            return f"a number >= {context['ge']:g}"
        case "greater_than":
            return f"a number > {context['gt']:g}"
        case "less_than_equal":
            return f"a number <= {context['le']:g}"
        case "less_than":
            return f"a number < {context['lt']:g}"
        case "literal_error":
            return f"one of {context['expected']}"
        case "union_tag_invalid":
            return f"one of {context['expected_tags']}"
        case "union_tag_not_found" if isinstance(error["input"], dict):
            return "a value: the field is required"
        case "union_tag_not_found":
            return f"an object with {context['discriminator']}"
    return _EXPECTED.get(kind) or _plain(error["msg"])


class _Hints:
    """Which field was meant by a name that is none. Each comparison takes time, so there are not many."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = sorted(set(known))
        self.given: dict[str, str] = {}

    def about(self, name: str) -> str:
        if name not in self.given:
            if len(self.given) >= _MOST_HINTS or len(name) > _PREVIEW:
                return ""
            close = difflib.get_close_matches(name, [each for each in self.known if each != name], n=1)
            self.given[name] = f"; did you mean {close[0]!r}?" if close else ""
        return self.given[name]


def _plain(message: str) -> str:
    text: Any = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return str(text)
