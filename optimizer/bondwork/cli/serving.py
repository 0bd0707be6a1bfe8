"""``bondwork serve``: the service, until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bondwork import console
from bondwork.cli.app import app


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8723,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the bearer token. [default: BONDWORK_TOKEN, or none]", show_default=False
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Solves at once.", show_default=False)] = None,
    waiting: Annotated[int, typer.Option(min=1, help="Requests that may wait.")] = 256,
    most_body: Annotated[int, typer.Option(min=1, help="Largest body, in MiB.")] = 64,
    body_time: Annotated[float, typer.Option(help="Seconds to send a body in.")] = 30.0,
    default_time: Annotated[float, typer.Option(help="Time limit of solves that ask for none, s.")] = 30.0,
    most_time: Annotated[float, typer.Option(help="Longest time limit that may be asked for, s.")] = 600.0,
    grace: Annotated[float, typer.Option(help="Seconds over time before a solve is killed.")] = 10.0,
    memory: Annotated[int, typer.Option(min=0, help="GiB of address space of a solve; 0: no limit.")] = 8,
    results: Annotated[
        Path | None, typer.Option(help="Folder that keeps the results of jobs.", show_default=False)
    ] = None,
    planners: Annotated[
        Path | None,
        typer.Option(help="Folder of planners' files. [default: no planners]", show_default=False),
    ] = None,
) -> None:
    """Serve solve, verify, compare and jobs over HTTP; /docs describes the interface."""
    from bondwork.problem.faults import Refusal
    from bondwork.service.config import ServiceConfig

    try:
        import uvicorn  # an extra

        from bondwork.service.app import make_app
    except ModuleNotFoundError as error:
        raise Refusal([f"serve needs {error.name}: pip install 'bondwork[service]'"]) from None
    token = token_file.read_text(encoding="utf-8").strip() if token_file else os.environ.get("BONDWORK_TOKEN")
    chosen = {} if workers is None else {"workers": workers}
    config = ServiceConfig(
        host=host,
        port=port,
        token=token or None,
        waiting=waiting,
        most_body=most_body * 2**20,
        body_time=body_time,
        default_time=default_time,
        most_time=most_time,
        grace=grace,
        memory=memory * 2**30,
        results=results,
        planners=planners,
        **chosen,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(config),
            host=host,
            port=port,
            log_level="warning",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(2 * grace) + 1,
        )
    )
    console.say(f"serving on http://{host}:{port}" if port else f"serving on http://{host}, a free port")
    server.run()
