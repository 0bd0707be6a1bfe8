"""Whether the extra ``report`` is installed: asked before hours of work, without loading it."""

from __future__ import annotations

from importlib.util import find_spec

#: What pages are made with, by the name that it is imported by.
_NEEDED = ("jinja2", "matplotlib")


def require_extra() -> None:
    """Find out whether pages can be made here.

    Raises
    ------
    ModuleNotFoundError
        Something is missing; the message says what to install.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"a report needs {' and '.join(missing)}: pip install 'bondwork[report]'", name=missing[0]
        )
