"""Planners that live in a service: as a direct one, durable, one request at a time, whatever dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

import bondwork
from bondwork.planner.planner import Taken
from bondwork.problem.generate import generate_round
from bondwork.service.app import make_app
from bondwork.service.client import Client, ServiceError
from bondwork.service.config import ServiceConfig
from bondwork.service.local import serving
from planner.rounds import accounts, make_round

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("planners")
    with serving(ServiceConfig(workers=2, grace=20.0, planners=folder)) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, timeout=120.0) as each:
        yield each


def test_as_a_planner_of_ones_own(client: Client):
    remote, direct = client.planner("as-direct"), bondwork.Planner(strategy="extensive")
    remote.create()
    for number, tasks in enumerate((("a", "b", "c"), ("d", "e"))):
        plan = remote.plan(make_round(*tasks), f"r{number}", strategy="extensive")
        assert plan.assignments == direct.plan(make_round(*tasks), f"r{number}").assignments
        outcomes = [
            {
                "commitment": f"r{number}/{each.offer}",
                "outcome": "failed" if each.task == "a" else "succeeded",
            }
            for each in plan.assignments
        ]
        assert remote.observe(outcomes) == direct.observe(outcomes) == Taken(len(outcomes), 0)
        assert remote.observe(outcomes) == Taken(0, len(outcomes))
    assert accounts(remote.state) == accounts(direct.state)
    assert remote.state.imbalance == 0
    last = remote.delete()
    assert last.rounds == 2
    with pytest.raises(ServiceError, match="no_planner"):
        _ = remote.state


def test_asked_again_it_says_the_same(client: Client):
    remote = client.planner("again")
    remote.create()
    first = remote.plan(make_round("a", "b"), "r", strategy="extensive")
    again = remote.plan(make_round("a", "b"), "r", strategy="extensive")
    assert again == first
    assert remote.state.rounds == 1
    with pytest.raises(bondwork.InvalidInput, match="other content"):
        remote.plan(make_round("a"), "r")


def test_faults_and_what_is_not_there(client: Client, url: str):
    with pytest.raises(ServiceError) as caught:
        client.planner("nobody").plan(make_round("a"))
    assert (caught.value.status, caught.value.word) == (404, "no_planner")
    assert httpx.get(f"{url}/planners/..%2Fetc").status_code in (404, 422)
    assert httpx.get(f"{url}/planners/a.b").status_code == 422
    remote = client.planner("faults")
    remote.create(currency="ETH", breaker={"failures": 1})
    with pytest.raises(bondwork.InvalidInput) as wrong:
        remote.observe([{"commitment": "x", "outcome": "succeeded"}, {"outcome": "lost"}])
    assert [fault.path for fault in wrong.value.faults] == ["$.outcomes[1].outcome"]
    with pytest.raises(bondwork.InvalidInput) as unknown:
        remote.observe([{"commitment": "x", "outcome": "succeeded"}])
    assert [fault.path for fault in unknown.value.faults] == ["$.outcomes[0].commitment"]
    with pytest.raises(bondwork.InvalidInput) as silly:
        client.planner("silly").create(breaker={"over": 3})
    assert [fault.path for fault in silly.value.faults] == ["$.breaker"]
    with pytest.raises(bondwork.Refusal, match="BTC"):
        remote.create(currency="BTC")


def test_a_breaker_is_closed_again(client: Client):
    remote = client.planner("breaker")
    remote.create(breaker={"failures": 1, "over": 5})
    plan = remote.plan(make_round("a"), "1", strategy="greedy")
    remote.observe([{"commitment": f"1/{plan.assignments[0].offer}", "outcome": "failed"}])
    assert remote.plan(make_round("b"), "2").status == "interrupted"
    assert not remote.reset("after a look").breaker.open
    assert len(remote.plan(make_round("b"), "2", strategy="greedy").assignments) == 1


def test_many_at_once_lock_nothing_twice(client: Client, url: str):
    client.planner("many").create()
    answers: list[int] = []

    def ask(number: int) -> None:
        with Client(url, timeout=300.0) as mine:
            plan = mine.planner("many").plan(make_round("a", "b"), f"r{number % 3}", strategy="greedy")
            answers.append(len(plan.assignments))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    state = client.planner("many").state
    assert len(answers) == 6
    assert state.rounds == 3
    assert sorted(each.task for each in state.commitments) == ["a", "b"]  # 10 of collateral, 4 for each
    assert state.imbalance == 0


def test_a_worker_killed_while_it_plans(tmp_path: Path):
    app = make_app(ServiceConfig(workers=1, grace=20.0, planners=tmp_path))
    large = generate_round(400, 40, 10, 0)
    with serving(ServiceConfig(workers=1, grace=20.0, planners=tmp_path), app) as url, Client(url) as client:
        remote = client.planner("killed")
        remote.create(decimals=18)
        kept = remote.plan(make_round("a", currency=""), "before", strategy="greedy")
        failures: list[ServiceError] = []

        def ask() -> None:
            try:
                remote.plan(large, "large", strategy="extensive", mip_rel_gap=0.0, time_limit=120.0)
            except ServiceError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        ends = time.monotonic() + 60.0
        while time.monotonic() < ends:
            found = [job for job in app.state.jobs.jobs.values() if job.kind == "plan" and job.worker]
            if found and found[-1].progress is not None:
                os.kill(found[-1].worker.pid, signal.SIGKILL)
                break
            time.sleep(0.02)
        asking.join(60.0)
        assert [error.word for error in failures] == ["worker_died"]
        state = remote.state
        assert (state.rounds, [each.task for each in state.commitments]) == (1, ["a"])
        # nothing of the lost round is there, and asked again it is planned once
        plan = remote.plan(large, "large", strategy="greedy")
        again = remote.plan(large, "large", strategy="greedy")
        assert again == plan
        state = remote.state
        assert state.rounds == 2
        assert len(state.commitments) == len(plan.assignments) + len(kept.assignments)
        assert state.imbalance == 0
    with serving(ServiceConfig(workers=1, planners=tmp_path)) as url, Client(url) as client:
        assert client.planner("killed").state == state  # another service, the same folder


def test_services_without_a_folder_refuse():
    config = ServiceConfig(workers=1)
    with serving(config) as url, Client(url) as client, pytest.raises(bondwork.Refusal, match="keeps none"):
        client.planner("any").create()
