"""The interface keeps what it promises, whatever is sent: schemathesis on its OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from bondwork.service.app import make_app
from bondwork.service.config import ServiceConfig
from bondwork.service.local import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("planners")
    config = ServiceConfig(workers=2, default_time=0.5, most_time=0.5, grace=30.0, planners=folder)
    with serving(config) as address:
        yield address


CONFIG = schemathesis.Config()
# thousands of systematic cases, each a process: for an hour of idle time, not for every commit
CONFIG.projects.default.phases.update(phases=["examples", "fuzzing"])
schema = schemathesis.openapi.from_dict(make_app(ServiceConfig()).openapi(), config=CONFIG)


def test_published_schemas_are_part_of_it(url: str):
    document = httpx.get(f"{url}/openapi.json").json()
    assert {"Round", "Plan", "Program", "ComparisonFile", "Failure"} <= set(document["components"]["schemas"])
    for path in ("/solve", "/verify", "/check", "/compare", "/jobs/solve", "/planners/{name}/plan"):
        assert path in document["paths"]


@schema.parametrize()
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_it(case: schemathesis.Case, url: str):
    # a schema cannot say what refers to what, so what it allows may have faults; jobs tell theirs later
    excluded = [positive_data_acceptance]
    if case.path.startswith("/jobs/") and case.body:
        excluded.append(negative_data_rejection)
    case.call_and_validate(base_url=url, excluded_checks=excluded, timeout=60)
