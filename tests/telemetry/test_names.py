"""The names: documented, bounded in their labels, and known to the dashboard and the alerts that are delivered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.telemetry.catalogue import catalogue

ROOT = Path(__file__).resolve().parents[2]
BOUNDED = {
    "pool", "state", "code", "kind", "outcome", "method", "route", "status", "worker", "chore", "direction", "name",
}  # fmt: skip
OF_PROMETHEUS = {"up": {"job", "instance", "process"}}
KNOWN = {
    series: {*one.labels} | ({"le"} if one.kind == "histogram" else set())
    for one in catalogue()
    for series in one.series
}


def dashboard() -> list[str]:
    found = json.loads((ROOT / "deploy/grafana/opsite.json").read_text())
    return [target["expr"].replace("$pool", ".*") for panel in found["panels"] for target in panel.get("targets", [])]


def alerts() -> list[str]:
    found = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    return [rule["expr"] for group in found["groups"] for rule in group["rules"]]


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Every metric that a parsed query asks for, with the labels that it matches."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {matcher.name for matcher in node.matchers.matchers}
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


def grouped(query: str) -> set[str]:
    """The labels that it groups or joins by."""
    return {name.strip() for some in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", query) for name in some.split(",")}


@pytest.mark.parametrize("query", [*dashboard(), *alerts()])
def test_a_delivered_query_asks_for_what_there_is(query: str) -> None:
    asked = list(selectors(promql_parser.parse(query)))
    assert asked, "it asks for nothing"
    known = {**KNOWN, **OF_PROMETHEUS}
    labels: set[str] = set()
    for name, matched in asked:
        assert name in known, f"there is no metric {name}"
        assert matched <= known[name], f"{name} has no {matched - known[name]}"
        labels |= known[name]
    assert grouped(query) <= labels, f"no metric of it has {grouped(query) - labels}"


def test_a_query_for_what_is_not_there_is_found() -> None:
    ((name, matched),) = selectors(promql_parser.parse('sum(rate(opsite_nothing_total{tenant="a"}[5m]))'))
    assert name not in KNOWN
    assert matched == {"tenant"}


def test_labels_are_bounded() -> None:
    for one in catalogue():
        assert set(one.labels) <= BOUNDED, f"{one.name} has a label whose values nobody has bounded"


def test_every_metric_is_documented_as_it_is() -> None:
    page = (ROOT / "docs/telemetry.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `opsite_")]
    told = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.of} | {one.help} |"
        for one in catalogue()
    ]
    assert rows == told


def test_every_alert_says_what_is_wrong() -> None:
    found = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    rules = [rule for group in found["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"].endswith((".", "}."))
