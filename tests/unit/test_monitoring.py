"""Alerts, dashboard and document speak of metrics and events that there are: held against a real run and the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from pinsync.planning.plan import Kind, PinState
from pinsync.service import events, metrics, protocol, public
from tests.unit.service_kit import FakeNode, Rig, cid, manifest
from tests.unit.test_docs import ROOT, rows, sections

DOC = ROOT / "docs/monitoring.md"
RULES = ROOT / "monitoring/pinsync.rules.yml"
DASHBOARD = ROOT / "monitoring/dashboard.json"
NAME = re.compile(r"\b(?:pinsync|process)_[a-z_]+")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """What /metrics of a daemon shows that has a node, a manifest and a remote."""
    with FakeNode() as node, Rig(tmp_path_factory.mktemp("monitoring")) as rig:
        node.pins = {cid(7): ""}
        rig.pins.write_text(manifest(1))
        rig.configure(kubo=f'api = "{node.url}"')
        rig.start()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://x") as http:
            yield list(parsed(http.get("/metrics").text))


@pytest.fixture(scope="module")
def names(families: list[Any]) -> set[str]:
    """Every name of a sample."""
    return {one.name for family in families for one in family.samples}


def test_the_metrics_that_are_told_are_those_that_there_are(families: list[Any]) -> None:
    told = {
        row[0].strip("`"): (row[1], set(re.findall(r"`([a-z]+)`", row[2])))
        for row in rows(sections(DOC, 2)["Metrics"].replace("| |", "|  |"))
    }
    there = {}
    for family in families:
        if family.name.startswith("process_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        there[name] = (family.type, {label for one in family.samples for label in one.labels} - {"le"})
        assert family.samples, name
    assert told == there


def test_the_words_that_labels_hold_are_told() -> None:
    told = {row[0].strip("`"): row[3] for row in rows(sections(DOC, 2)["Metrics"].replace("| |", "|  |"))}
    for name, words in (
        ("pinsync_requests_total", metrics.OUTCOMES),
        ("pinsync_passes_total", (*metrics.RESULTS.values(), "error")),
        ("pinsync_pins", PinState),
        ("pinsync_held_actions", Kind),
    ):
        assert set(re.findall(r"`([^`]+)`", told[name])) == set(words), name


def test_alerts_use_metrics_that_there_are(names: set[str]) -> None:
    used = set(NAME.findall(RULES.read_text())) - {"pinsync_rules"}
    assert len(used) > 10
    assert used <= names


def test_the_dashboard_uses_metrics_that_there_are(names: set[str]) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [one["definition"] for one in dashboard["templating"]["list"] if "definition" in one]
    asked += [one["expr"] for one in dashboard["annotations"]["list"]]
    assert all(NAME.search(expression) for expression in asked)
    assert set(NAME.findall(" ".join(asked))) <= names
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_metric_is_looked_at_by_an_alert_or_on_the_dashboard_or_helps_to(names: set[str]) -> None:
    used = set(NAME.findall(RULES.read_text() + DASHBOARD.read_text()))
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names if name.startswith("pinsync_")}
    unused = ours - {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert unused == {"pinsync_last_pass_timestamp_seconds", "pinsync_pass_running"}


def test_every_alert_is_told_and_tested() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert [row[0].strip("`") for row in rows(sections(DOC, 2)["Alerts"])] == alerts
    tests = Path(RULES.parent / "pinsync.rules.test.yml").read_text()
    assert set(re.findall(r"alertname: (\w+)", tests)) == set(alerts)


def test_the_events_that_are_told_are_those_that_there_are() -> None:
    source = "".join(path.read_text() for path in (ROOT / "daemon/pinsync/service").glob("*.py"))
    source += (ROOT / "daemon/pinsync/ledger/ledger.py").read_text()
    there = set(re.findall(r'(?:events?\.tell|self\.tell|\.line|self\._send|self\.heard)\(\s*"([a-z-]+)"', source))
    assert {row[0].strip("`") for row in rows(sections(DOC, 2)["Events"])} == there


def test_the_numbers_are_those_of_the_code() -> None:
    text = " ".join(DOC.read_text().split())
    for said in (
        f"At most {public._Local.most} connections",
        f"whole within {protocol.PATIENCE:.0f} s",
        f"lags {events.PROGRESS_BACKLOG} events behind",
        f"lags {events.BACKLOG} behind",
        f"{events.MOST_READERS} may listen",
        f"after {events.ALIVE_EVERY:.0f} s without another",
    ):
        assert said in text
    assert 1 / events.PROGRESS_EVERY == 4
    assert public.TRY_AGAIN == 60


def test_the_paths_of_the_listener_are_told() -> None:
    told = {row[0].strip("`") for row in rows(sections(DOC, 2)["Scrape it"])}
    nobody: Any = None
    assert told == {*public.watching(nobody), *public.public_status(nobody), "/"}
