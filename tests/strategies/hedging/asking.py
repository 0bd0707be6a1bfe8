"""A process that asks for three ranks and waits, as hedging does, with a launcher that needs no MPI.

``python asking.py FOLDER`` writes the numbers of all processes into ``FOLDER/who.json`` as soon as they are
there. Like MPI's launchers, this one puts a proxy between, and each rank into a session of its own.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

from bondwork.strategies.hedging.running import environment_of, started
from bondwork.strategies.hedging.scratch import scratch_folder

RANK = """
import os, pathlib, sys
from bondwork.strategies.hedging.leash import tie_to_owners
tie_to_owners()
pathlib.Path(f"rank-{sys.argv[1]}.tmp").write_text(str(os.getpid()))
pathlib.Path(f"rank-{sys.argv[1]}.tmp").rename(f"rank-{sys.argv[1]}")
while True:  # as ranks spin that wait for another
    pass
"""

LAUNCHER = """#!{python}
import os, subprocess, sys
if len(sys.argv) > 1 and sys.argv[1] == "proxy":
    ranks = [
        subprocess.Popen([sys.executable, "-c", {rank!r}, str(number)], start_new_session=True)
        for number in range(3)
    ]
    open("proxy", "w").write(str(os.getpid()))
    sys.exit(max(abs(rank.wait()) for rank in ranks))
proxy = subprocess.Popen([sys.executable, __file__, "proxy"], start_new_session=True)
open("launcher", "w").write(str(os.getpid()))
sys.exit(proxy.wait())
"""


def main(told: Path) -> None:
    launcher = told / "launcher.py"
    launcher.write_text(LAUNCHER.format(python=sys.executable, rank=RANK))
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    with scratch_folder() as folder:
        environment = environment_of("auto", folder)
        with started(str(launcher), 3, [], folder, environment) as group:
            names = ["launcher", "proxy", *(f"rank-{number}" for number in range(3))]
            while not all((folder / name).exists() for name in names):
                time.sleep(0.02)
            who = {name: int((folder / name).read_text()) for name in names}
            if os.environ.get("HOLDS_THE_PIPE"):
                who["sibling"] = os.fork()
                if not who["sibling"]:
                    time.sleep(60.0)
                    os._exit(0)
            who |= {"asking": os.getpid(), "guard": group.process.pid}
            (told / "who.tmp").write_text(json.dumps({"folder": str(folder), "who": who}))
            (told / "who.tmp").rename(told / "who.json")
            while group.wait(0.2) is None:
                pass
            (told / "ended").write_text(str(group.process.returncode))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
