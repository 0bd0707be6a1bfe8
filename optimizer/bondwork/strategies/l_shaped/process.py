"""A process that solves scenarios for another: messages on standard input, answers on standard output."""

from __future__ import annotations

import math
import os
import sys
import time

from bondwork.observing import Silence
from bondwork.strategies.l_shaped.shards import ProcessFailure, Shard, _Quiet, receive, send


def main() -> None:
    """Serve until the other end goes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not stand among the answers
    questions = sys.stdin.buffer
    try:
        parts, first, options = receive(questions)
        shards = [(at, Shard(batch, first, options)) for at, batch in parts]
        while True:
            what, x, seconds = receive(questions)
            ends = time.perf_counter() + seconds if math.isfinite(seconds) else math.inf
            quiet = _Quiet(Silence(), ends)
            send(answers, [(at, shard.call(what, x, quiet)) for at, shard in shards])
    except (ProcessFailure, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
