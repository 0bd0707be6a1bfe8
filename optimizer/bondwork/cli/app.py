"""The application that all commands belong to, and its groups."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bondwork.console import Truncated, say


class _Commands(TyperGroup):
    """All commands; what ends one is left to `bondwork.console.exit_codes`.

    Typer takes the end of a file, wherever it was met, for a person who has enough, and ends with 1.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise Truncated(str(error) or "a file ends early") from error
        except KeyboardInterrupt:
            say("interrupted")
            raise SystemExit(130) from None


app = typer.Typer(
    name="bondwork",
    cls=_Commands,
    help="Decide who does which slashable piece of work, round after round, and prove how good the plan is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
import_group = typer.Typer(help="Read foreign files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(import_group, name="import")
export_group = typer.Typer(help="Write foreign files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(export_group, name="export")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"bondwork {version('bondwork')}\n")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decide who does which slashable piece of work, round after round, and prove how good the plan is."""
