"""Alert rules, scrape configuration, Grafana dashboard and documentation name metrics and labels that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.metrics.catalogue import BY_NAME, CATALOGUE, series_names
from serve.outcomes.queries import NO_FAULT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "k8s" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"][0]["rules"]
GRAFANA: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
QUERIES = {rule["alert"]: str(rule["expr"]) for rule in RULES} | {
    f"{panel['title']} {target['refId']}": str(target["expr"])
    for panel in GRAFANA["panels"]
    for target in panel["targets"]
}


def _metric(series: str) -> str:
    return series if series in BY_NAME else re.sub(r"_(bucket|sum|count)$", "", series)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_asks_for_metrics_and_labels_that_exist(query: str) -> None:
    used = re.findall(r"\bpointsman_\w+", query)
    assert set(used) <= series_names()
    labels = {label for name in used for label in BY_NAME[_metric(name)].labels} | {"le", "job"}
    named = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)
    named += [word.strip() for part in re.findall(r"by \(([^)]*)\)", query) for word in part.split(",")]
    assert set(named) <= labels
    assert query.count("(") == query.count(")")


_ONE_KIND = re.compile(r"sum\((?:rate|increase)\(\w+\{[^}]*\}\[\w+\](?: offset \w+)?\)\)(?! or vector\(0\))")


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_kind_that_never_happened_counts_as_none_of_it(query: str) -> None:
    """A series without an observation is not there, and a sum with what is not there is nothing: no alert, ever."""
    if re.search(r"\s[+-]\s", query):
        assert not _ONE_KIND.search(query)


def test_what_is_no_failure_is_shown_as_none() -> None:
    (query,) = [one for one in QUERIES.values() if "pointsman_attempts_total" in one]
    (shown,) = re.findall(r'outcome!~"([^"]*)"', query)
    assert set(shown.split("|")) == set(NO_FAULT)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "warn", "info"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_panels_do_not_lie_on_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in GRAFANA["panels"]]
    assert len(set(places)) == len(places)


def test_the_scrape_shows_a_key_and_asks_the_path_that_answers() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["authorization"].keys() == {"type", "credentials_file"}


def test_the_documentation_has_every_metric_with_its_labels() -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |" in text
