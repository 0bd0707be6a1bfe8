from __future__ import annotations

import pytest

from bondwork.replay.market_log import SMALL_FARM, market_log
from bondwork.replay.replay_schema import Replay, load_replay
from bondwork.replay.replaying import replay
from bondwork.report.replay_report import report_replay
from report.pages import check_page


@pytest.fixture(scope="module")
def found() -> Replay:
    import dataclasses

    log = market_log(dataclasses.replace(SMALL_FARM, orders=40), 1)
    return replay(log.encode(), ["greedy", "broker-price"], unknown="skip")


def test_a_page_tells_what_the_replay_tells(found: Replay):
    html = report_replay(found, name="market <1>")
    check_page(html)
    assert report_replay(load_replay(found.to_json().encode()), name="market <1>") == html
    for words in (
        "market &lt;1&gt;",
        "broker-price",
        "greedy",
        "Profit so far (ETH)",
        "left out",
        "cannot tell",
    ):
        assert words in html
