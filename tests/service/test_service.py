"""The service as its clients see it: answers, faults, limits, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

import bondwork
from bondwork.problem.generate import generate_round
from bondwork.service.app import make_app
from bondwork.service.client import Client, ServiceError
from bondwork.service.config import ServiceConfig
from bondwork.service.local import serving
from hand_made import make_round, market

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = generate_round(400, 40, 10, 0)
IMPOSSIBLE = make_round(tasks=[{"id": "t", "operator": "op", "required": True}])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("results")
    config = ServiceConfig(workers=2, most_body=4 * 2**20, body_time=2.0, grace=20.0, results=folder)
    with serving(config) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as each:
        yield each


def test_a_plan_as_from_a_direct_call(client: Client):
    plan = client.solve(market(), strategy="extensive", mip_rel_gap=0.0)
    direct = bondwork.solve(bondwork.load(market()), strategy="extensive", mip_rel_gap=0.0)
    assert plan.assignments == direct.assignments
    assert plan.objective == direct.objective
    assert plan.verified
    assert client.verify(market(), plan)
    wrong = plan.model_copy(update={"objective": 1.0})
    assert not client.verify(market(), wrong)


def test_programs_are_solved_and_solutions_verified(client: Client, url: str):
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.program.template import NodeTemplate

    stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    serve = NodeTemplate.make(
        1, ["y"], ["stock"], cost=3.0, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)]
    )
    toy = StochasticProgram.from_changes(
        "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}],
    )  # fmt: skip
    answer = httpx.post(f"{url}/solve", content=toy.to_json(), params={"value": True}, timeout=60.0)
    assert answer.status_code == 200
    solution, program = answer.json(), json.loads(toy.to_json())
    assert solution["stochastic"]["vss"] == pytest.approx(1.0)
    assert client.verify(program, solution)
    assert not client.verify(program, solution | {"objective": 6.5})
    told = httpx.post(f"{url}/verify", json={"program": program, "solution": solution}, timeout=60.0).json()
    assert (told["verified"], told["certified"]) == (True, 6.0)
    mixed = httpx.post(f"{url}/verify", json={"program": program, "plan": solution}, timeout=60.0)
    assert mixed.status_code == 422
    assert {each["path"] for each in mixed.json()["faults"]} == {"$.solution", "$.plan"}


def test_comparisons(client: Client):
    comparison = client.compare([market()], ["greedy", "extensive"], mip_rel_gap=0.0)
    assert [row.strategy for row in comparison.rows] == ["greedy", "extensive"]
    assert comparison.disagreements() == []


def test_infeasible_rounds_are_answers(client: Client):
    assert client.solve(IMPOSSIBLE, strategy="extensive").status == "infeasible"


def test_faults_come_back_as_they_are(client: Client, url: str):
    bad = market()
    bad["offers"][0]["bid"] = -1
    bad["offers"][1]["task"] = "nobody"
    with pytest.raises(bondwork.InvalidInput) as caught:
        client.solve(bad)
    with pytest.raises(bondwork.InvalidInput) as direct:
        bondwork.load(bad)
    assert caught.value.faults == direct.value.faults
    with pytest.raises(bondwork.InvalidInput):
        client.solve(market(), strategy="best")
    for body, words in ((b"{", "JSON"), (b"\xff", "UTF-8"), (b"[1]", "object")):
        answer = httpx.post(f"{url}/solve", content=body, timeout=60.0)
        assert answer.status_code == 422
        assert words in answer.text
    answer = httpx.post(f"{url}/solve?time_limit=soon&strategi=x", json=market(), timeout=60.0)
    assert answer.status_code == 422
    assert {each["path"] for each in answer.json()["faults"]} == {"query.time_limit", "query.strategi"}
    assert httpx.get(f"{url}/jobs/nothing").status_code == 404
    assert httpx.get(f"{url}/jobs/..%2F..%2Fetc%2Fpasswd").status_code == 404
    assert httpx.get(f"{url}/nowhere").status_code == 404


def test_bodies_have_limits(url: str, client: Client):
    answer = httpx.post(f"{url}/solve", content=b" " * (5 * 2**20), timeout=60.0)
    assert answer.status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 2**20  # 200 MiB, without saying so

    with contextlib.suppress(httpx.TransportError):  # the connection may end before all is sent
        assert httpx.post(f"{url}/solve", content=endless(), timeout=60.0).status_code == 413
    assert client.solve(market(), strategy="greedy").verified


def test_slow_clients_wait_alone(url: str, client: Client):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30.0) as slow:
        slow.sendall(b"POST /solve HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert client.solve(market(), strategy="greedy").verified
        assert b"408" in slow.recv(4096).split(b"\r\n")[0]


def test_a_job_is_watched_and_cancelled(client: Client):
    job = client.start(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0)
    ends = time.monotonic() + 60.0
    while client.job(job.id).objective is None and time.monotonic() < ends:
        time.sleep(0.1)
    seen = client.job(job.id)
    assert seen.state == "running"
    assert seen.objective is not None
    client.cancel(job.id)
    plan = client.result(job.id)
    assert plan.status == "interrupted"
    assert plan.verified
    assert plan.objective is not None
    assert plan.objective >= seen.objective - 1e-6


def test_a_limit_reached_keeps_the_incumbent(client: Client):
    plan = client.solve(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=1.0)
    assert plan.status == "time_limit"
    assert plan.verified


def test_a_killed_worker_is_answered_and_others_go_on():
    config = ServiceConfig(workers=2, grace=20.0)
    app = make_app(config)
    with serving(config, app) as url, Client(url) as client:
        job = client.start(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0)
        other = client.start(market(), strategy="extensive", mip_rel_gap=0.0)
        while client.job(job.id).objective is None:
            time.sleep(0.05)
        os.kill(app.state.jobs.jobs[job.id].worker.pid, signal.SIGKILL)
        with pytest.raises(ServiceError, match="SIGKILL") as caught:
            client.result(job.id)
        assert caught.value.word == "worker_died"
        assert client.result(other.id).verified
        assert client.solve(market(), strategy="greedy").verified


def test_a_hanging_worker_is_killed():
    config = ServiceConfig(workers=1, grace=0.5, default_time=1.0, most_time=1.0)
    app = make_app(config)
    with serving(config, app) as url, Client(url) as client:
        job = client.start(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=1.0)
        while client.job(job.id).objective is None:
            time.sleep(0.02)
        os.kill(app.state.jobs.jobs[job.id].worker.pid, signal.SIGSTOP)
        with pytest.raises(ServiceError) as caught:
            client.result(job.id)
        assert (caught.value.status, caught.value.word) == (504, "over_time")
        assert client.solve(market(), strategy="greedy", time_limit=1.0).solution != "none"


def test_memory_has_a_limit():
    config = ServiceConfig(workers=1, memory=600 * 2**20)
    with serving(config) as url, Client(url) as client:
        with pytest.raises(ServiceError) as caught:
            client.solve(generate_round(20_000, 100, 20, 0), strategy="extensive", time_limit=20.0)
        assert caught.value.status in (500, 507)
        assert httpx.get(f"{url}/health").json()["status"] == "ok"


def test_fifty_clients_at_once(url: str):
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=300.0) as http:
            body = json.dumps(market()).encode()
            return await asyncio.gather(
                *(http.post("/solve", content=body, params={"strategy": "greedy"}) for _ in range(50))
            )

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["assignments"]) for answer in answers}) == 1


def test_who_may_ask():
    with serving(ServiceConfig(token="open sesame", workers=1)) as url:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "open sesame"}):
            answer = httpx.post(f"{url}/solve", json=market(), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        with Client(url, token="open sesame") as client:
            assert client.solve(market(), strategy="greedy").verified
    with pytest.raises(bondwork.InvalidInput, match="reachable from elsewhere"):
        ServiceConfig(host="0.0.0.0")
    with pytest.raises(bondwork.InvalidInput) as caught:
        ServiceConfig(workers=0, grace=-1.0, default_time=700.0, results=Path("/nowhere"))
    assert [each.path for each in caught.value.faults] == ["workers", "grace", "default_time", "results"]


def test_too_many_wait():
    with serving(ServiceConfig(workers=1, waiting=1, grace=20.0)) as url, Client(url) as client:
        first = client.start(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=60.0)
        while client.job(first.id).state == "waiting":
            time.sleep(0.05)
        second = client.start(market(), strategy="greedy")
        with pytest.raises(ServiceError, match="overloaded") as caught:
            client.start(market(), strategy="greedy")
        assert caught.value.status == 503
        client.cancel(second.id)  # it waits still: nothing to hand out
        with pytest.raises(ServiceError, match="cancelled"):
            client.result(second.id)
        client.cancel(first.id)
        assert client.result(first.id).verified


def test_shutting_down_keeps_incumbents(tmp_path: Path):
    config = ServiceConfig(workers=1, grace=20.0, results=tmp_path)
    with serving(config) as url, Client(url) as client:
        job = client.start(LARGE, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0)
        while client.job(job.id).objective is None:
            time.sleep(0.1)
    with serving(config) as url, Client(url) as client:
        plan = client.result(job.id)
        assert plan.status == "interrupted"
        assert plan.verified
