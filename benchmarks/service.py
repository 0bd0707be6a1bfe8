"""What the service costs over a direct call, and what it does when it is treated badly.

    python benchmarks/service.py
    python benchmarks/service.py --repeats 20 --clients 50

Serves from a thread of this process; solves run in processes of their own, as under ``bondwork serve``.
Prints one table of latencies (a direct call, the service one request after the other) and one of what
happened: many clients at once, a body of 200 MB, a client that sends nothing, a worker killed at its work.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

import bondwork
from bondwork.problem.generate import generate_round
from bondwork.service.app import make_app
from bondwork.service.client import Client, ServiceError
from bondwork.service.config import ServiceConfig
from bondwork.service.local import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

STRATEGIES = ("greedy", "lagrangian")
ROUND: dict[str, Any] = generate_round(100, 10, 10, 0)

#: Solved while a worker is killed: long enough to be found at work.
LONG: dict[str, Any] = generate_round(400, 40, 10, 0)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def direct_call(body: bytes, strategy: str) -> str:
    return bondwork.solve(bondwork.load(body), strategy=strategy).to_json()


def latencies(client: Client, repeats: int) -> None:
    body = json.dumps(ROUND).encode()
    print(f"\nround of 100 tasks x 10 offers, {len(body) / 1024:.0f} KiB, median of {repeats} (least) in ms")
    print("| strategy | direct call | service | more |\n|---|---|---|---|")
    for strategy in STRATEGIES:
        calls = partial(direct_call, body, strategy), partial(client.solve, ROUND, strategy=strategy)
        direct, served = [], []
        for _ in range(repeats + 1):  # in turns: both see the same load of the machine
            direct.append(seconds(calls[0]))
            served.append(seconds(calls[1]))
        one, two = direct[1:], served[1:]  # the first of each imports and compiles
        shown = [f"{1e3 * statistics.median(each):.0f} ({1e3 * min(each):.0f})" for each in (one, two)]
        more = statistics.median(b - a for a, b in zip(one, two, strict=True))
        print(f"| {strategy} | {shown[0]} | {shown[1]} | {1e3 * more:.0f} |", flush=True)


def crowd(url: str, clients: int) -> str:
    def ask(_: int) -> tuple[int, float]:
        with httpx.Client(base_url=url, timeout=600.0) as http:
            begun = time.perf_counter()
            answer = http.post("/solve", json=ROUND, params={"strategy": "greedy"})
            return answer.status_code, time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(ask, range(clients)))
    passed = time.perf_counter() - begun
    waits = sorted(wait for _, wait in found)
    good = sum(status == 200 for status, _ in found)
    return (
        f"{good} of {clients} answered 200 in {passed:.1f} s ({clients / passed:.1f} a second), "
        f"median wait {statistics.median(waits):.1f} s, longest {waits[-1]:.1f} s"
    )


def large_body(url: str) -> str:
    def parts() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1_000_000

    told = []
    for name, headers in (("with its length", {"content-length": "200000000"}), ("without", {})):
        begun = time.perf_counter()
        try:
            status = str(
                httpx.post(f"{url}/solve", content=parts(), headers=headers, timeout=60.0).status_code
            )
        except httpx.TransportError:
            status = "connection closed"  # the answer was sent while the body still came
        told.append(f"{name}: {status} after {1e3 * (time.perf_counter() - begun):.0f} ms")
    return "; ".join(told)


def slow_client(url: str, client: Client, patience: float) -> str:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60.0) as slow:
        begun = time.perf_counter()
        slow.sendall(b"POST /solve HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        meanwhile = seconds(lambda: client.solve(ROUND, strategy="greedy"))
        line = slow.recv(4096).split(b"\r\n")[0].decode()
    waited = time.perf_counter() - begun
    return f"{line} after {waited:.1f} s (allowed {patience:g}); another solve meanwhile {meanwhile:.2f} s"


def killed_worker(app: FastAPI, url: str, client: Client) -> str:
    caught: list[str] = []
    other: list[float] = []

    def ask() -> None:
        try:
            client.solve(LONG, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0)
        except ServiceError as error:
            caught.append(str(error))

    def meanwhile() -> None:
        with Client(url) as mine:
            other.append(seconds(lambda: mine.solve(ROUND, strategy="greedy")))

    first, second = threading.Thread(target=ask), threading.Thread(target=meanwhile)
    first.start()
    worker = None
    while worker is None:
        time.sleep(0.02)
        running = [job.worker for job in app.state.jobs.jobs.values() if job.worker and job.progress]
        worker = running[0] if running else None
    second.start()
    begun = time.perf_counter()
    os.kill(worker.pid, signal.SIGKILL)
    first.join()
    told = time.perf_counter() - begun
    second.join()
    return f"{caught[0]}, {1e3 * told:.0f} ms after the kill; another solve meanwhile {other[0]:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clients", type=int, default=50)
    arguments = parser.parse_args()
    config = ServiceConfig(workers=2, body_time=2.0, grace=30.0, default_time=60.0)
    app = make_app(config)
    with serving(config, app) as url, Client(url) as client:
        latencies(client, arguments.repeats)
        print("\n| what | what happened |\n|---|---|")
        print(f"| {arguments.clients} clients at once | {crowd(url, arguments.clients)} |", flush=True)
        print(f"| a body of 200 MB | {large_body(url)} |", flush=True)
        print(f"| a client that stops sending | {slow_client(url, client, config.body_time)} |", flush=True)
        print(f"| a worker killed | {killed_worker(app, url, client)} |", flush=True)


if __name__ == "__main__":
    main()
