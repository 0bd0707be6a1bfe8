"""Hedging by hand: a folder to run mpi-sppy in, where and when a cluster wants it, and the way back.

``run.sh`` in the folder has the whole command. ``bondwork.json`` says of which program the folder is, and how
it was cut up; reading back needs both.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork.contracts import Options
from bondwork.files import write_whole
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview
from bondwork.strategies.hedging.hand_over import CONSENSUS
from bondwork.strategies.hedging.run import Run
from bondwork.strategies.hedging.running import CYLINDERS_MODULE, LOG
from bondwork.strategies.hedging.settings import Settings
from bondwork.strategies.hedging.strategy import Hedging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.contracts import Observer, ProgramDecision
    from bondwork.program.stochastic import StochasticProgram

FORMAT = "bondwork.mpi-sppy/1"
LABEL, SCRIPT = "bondwork.json", "run.sh"


def write_folder(folder: Path, program: StochasticProgram, options: Options, observer: Observer) -> None:
    """Write everything that mpi-sppy needs into a new folder: all of it, or nothing.

    Parameters
    ----------
    folder
        Is not there yet, or is empty.
    options
        As for a solve, settings of `Hedging` included; the time limit is for writing.

    Raises
    ------
    InvalidInput
        A setting that is none, or an option that HiGHS does not know.
    Refusal
        The folder has something in it; or the program has no solution, or something that hedging cannot
        honour.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Refusal([f"{folder} is not empty"])
    settings = Settings.read(Hedging(), options.settings)
    run = Run(program, options, settings, observer)
    beginning = run.begin()
    if beginning.status != "optimal":
        raise Refusal([f"there is nothing to hand over: {beginning.status.replace('_', ' ')}"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        given = run.hand_over(partial, beginning)
        label = {
            "format": FORMAT,
            "input_sha256": program.sha256,
            "scenarios": len(run.split.parts),
            "columns": list(program.template_of(0).columns),
            "mip_rel_gap": options.mip_rel_gap,
            "random_seed": options.random_seed,
            "settings": dict(options.settings),
        }
        write_whole(partial / LABEL, json.dumps(label, indent=2) + "\n")
        write_whole(partial / SCRIPT, _script(settings.ranks, given))
        partial.chmod(0o777 & ~_umask())
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _script(ranks: int, given: list[str]) -> str:
    return f"""#!/bin/sh
# Progressive hedging on {ranks} ranks. Under Slurm: LAUNCHER=srun. PYTHON has bondwork[cluster] installed.
cd "$(dirname "$0")" || exit 1
rm -f incumbent_* trace* consensus.csv prices.csv
if [ -z "$LAUNCHER" ]; then  # this machine alone, which nobody else needs to reach
    LAUNCHER="$(command -v mpiexec.gforker || echo mpiexec) -n {ranks}"
    [ "$(uname)" = Darwin ] && loopback=lo0 || loopback=lo
    export HYDRA_IFACE="${{HYDRA_IFACE:-$loopback}}" UCX_NET_DEVICES="${{UCX_NET_DEVICES:-$loopback}}"
    export FI_TCP_IFACE="${{FI_TCP_IFACE:-$loopback}}" FI_SOCKETS_IFACE="${{FI_SOCKETS_IFACE:-$loopback}}"
fi
$LAUNCHER "${{PYTHON:-python3}}" -m mpi4py -m {CYLINDERS_MODULE} \\
    {shlex.join(given)} > {LOG} 2>&1
"""


def read_folder(
    folder: Path, program: StochasticProgram, observer: Observer
) -> tuple[ProgramDecision, Options]:
    """Read what a run has left in a folder, however it ended, and work its incumbent out again.

    Returns
    -------
    ProgramDecision
        ``time_limit`` where the run did not end by itself.
    Options
        Those that the folder was written with.

    Raises
    ------
    InvalidInput
        No folder of `write_folder`, or one of another program.
    """
    label: Any = parse_document((folder / LABEL).read_bytes())
    if faults := list(_faults(label if isinstance(label, dict) else {}, program)):
        raise InvalidInput(faults)
    options = Options(
        mip_rel_gap=label["mip_rel_gap"], random_seed=label["random_seed"], settings=label["settings"]
    )
    run = Run(program, options, Settings.read(Hedging(), options.settings), observer)
    log = folder / LOG
    ended = (folder / CONSENSUS).exists()
    decision = run.conclude(
        "iteration_limit" if ended else "time_limit",
        folder,
        log.read_text(encoding="utf-8", errors="replace") if log.exists() else None,
    )
    return decision, options


def _faults(label: dict[str, Any], program: StochasticProgram) -> Iterator[Fault]:
    """What is wrong with a label, or with it as that of this program."""
    gap, seed, settings = (label.get(name) for name in ("mip_rel_gap", "random_seed", "settings"))
    texts = isinstance(settings, dict) and all(isinstance(each, str) for each in settings.values())
    checks = {
        "format": (label.get("format") == FORMAT, f'"{FORMAT}"'),
        "input_sha256": (label.get("input_sha256") == program.sha256, "this program's"),
        "mip_rel_gap": (isinstance(gap, int | float) and gap >= 0.0, "a number >= 0"),
        "random_seed": (isinstance(seed, int) and seed >= 0, "a whole number >= 0"),
        "settings": (texts, "an object of texts"),
    }
    for name, (right, expected) in checks.items():
        if not right:
            yield Fault(f"$.{name}", preview(label[name]) if name in label else "nothing", expected)
