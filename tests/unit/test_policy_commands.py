"""`pointsman policy check|explain|test|diff`: what they promise, and what they say about bad files."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli import app
from serve.config import ON_PREMISES, load
from serve.policies import check, golden
from serve.signals.readings import Sensitivity
from tests.unit.test_policy import config, lane, rule

SHIPPED = sorted(Path("configs/policies").glob("*.cases.yaml"))
LANES = [lane("here"), lane("world", "global")]


def told(*arguments: object, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["policy", *map(str, arguments)])
    assert done.exit_code == exit_code, done.output
    return done.output


def written(path: Path, **policy: Any) -> Path:
    raw = {"lanes": LANES, "policy": {"rules": [rule("local_first", "here")]} | policy}
    path.write_text(yaml.safe_dump(raw | {"prices": {"unlisted": {"input": 1, "output": 2}}}))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name.partition(".")[0])
def test_every_shipped_policy_decides_as_its_cases_say_and_reaches_nothing_forbidden(path: Path) -> None:
    cases = golden.read(path)
    settings = golden.settings_of(cases, path, None)
    assert {r.case.name: r.differences for r in golden.run(cases, settings) if r.differences} == {}
    proof = check.check(settings)
    assert proof.breaches == ()
    assert proof.decisions > 100


def test_there_are_cases_for_five_kinds_of_organisation() -> None:
    names = {path.name.partition(".")[0] for path in SHIPPED}
    assert names >= {"general", "eu", "healthcare", "coding", "batch"}


def test_check_names_the_chain_of_a_policy_that_lets_confidential_data_out(tmp_path: Path) -> None:
    everywhere = ["device", "global"]
    places = dict.fromkeys(["public", "internal", "confidential"], everywhere)
    path = written(tmp_path / "leaks.yaml", locations=places)
    said = told("check", path, exit_code=1)
    assert "forbidden: confidential data reaches world (global), where it may not go" in said
    assert "rule local_first, no wish, all lanes ready: here > world" in said
    assert "confidential data may never go to ['global']" in said


def test_the_proof_does_not_believe_the_configuration() -> None:
    """Locations put in behind the back of the checks at loading: each wrong lane of each rule is found."""
    settings = config(rule("one", "here", tools=True), rule("two", "world"), lanes=LANES)
    places = {level.label: frozenset({*ON_PREMISES, "global"}) for level in Sensitivity}
    wrong = settings.model_copy(update={"policy": settings.policy.model_copy(update={"locations": places})})
    found = {(breach.level, breach.rule, breach.lane) for breach in check.check(wrong).breaches}
    assert found == {(Sensitivity.CONFIDENTIAL, name, "world") for name in ("one", "two")}


def test_check_says_what_is_hardly_meant(tmp_path: Path) -> None:
    rules = [rule("first", "here"), rule("second", "world"), rule("last", "here", tools=True)]
    path = written(tmp_path / "odd.yaml", rules=[*rules, rule("end", "here")])
    said = told("check", path)
    assert "rule second never decides: first stands before it" in said
    assert "nothing forbidden is reachable" in said


def test_explain_says_it_in_sentences() -> None:
    said = told("explain", "configs/policies/general.yaml")
    assert "Confidential data: It may be answered on this machine or in our own network." in said
    assert "If its stakes are high, tier 3 answers first: frontier" in said
    assert "Code review: tier 2 (behind it: a judgement, no measurement)." in said


def test_a_case_that_fails_shows_what_was_expected_and_what_was_decided(tmp_path: Path) -> None:
    cases = {"cases": [{"name": "wrong", "request": "Hello", "expect": {"lane": "world", "class": "public"}}]}
    path = tmp_path / "some.cases.yaml"
    path.write_text(yaml.safe_dump(cases))
    said = told("test", path, written(tmp_path / "policy.yaml"), exit_code=1)
    assert "FAILED wrong\n  lane\n    - world\n    + here\n" in said
    assert "0 of 1 cases are as expected." in said


def test_a_header_that_means_nothing_is_refused_as_the_router_would(tmp_path: Path) -> None:
    case = {"name": "dear", "request": "Hello", "headers": {"x-pointsman-max-cost-usd": "cheap"}}
    path = tmp_path / "some.cases.yaml"
    path.write_text(yaml.safe_dump({"cases": [case | {"expect": {"refused": "invalid_request"}}]}))
    assert "1 of 1 cases" in told("test", path, written(tmp_path / "policy.yaml"), exit_code=0)


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        pytest.param([], "at least 1 item", id="none"),
        pytest.param([{"name": "a", "request": "b", "expect": {}}], "expects nothing", id="no-expectation"),
        pytest.param(
            [{"name": "a", "request": "b", "expect": {"lnae": "x"}}], "cases.0.expect.lnae", id="slip"
        ),
        pytest.param(
            [{"name": "a", "request": "b", "expect": {"lane": "x"}}], "no lane is called 'x'", id="lane"
        ),
    ],
)
def test_a_file_of_cases_that_is_wrong_is_refused_by_name(
    tmp_path: Path, cases: list[Any], words: str
) -> None:
    path = tmp_path / "some.cases.yaml"
    path.write_text(yaml.safe_dump({"cases": cases}))
    said = told("test", path, written(tmp_path / "policy.yaml"), exit_code=1)
    assert str(path) in said
    assert words in said


def logged(**more: Any) -> dict[str, Any]:
    line = {"decision_id": "dec_1", "class": "public", "input_tokens": 1000, "policy_version": "0" * 12}
    return line | {"lane": "here", "reason": "local_first", "output_tokens": 1000} | more


def test_diff_counts_what_a_new_rule_moves_and_what_that_costs(tmp_path: Path) -> None:
    old = written(tmp_path / "old.yaml")
    hard = rule("hard", "world", difficulty=["complex"])
    new = written(tmp_path / "new.yaml", rules=[hard, rule("local_first", "here")])
    log = tmp_path / "log.jsonl"
    lines = [
        json.dumps(logged(difficulty="complex")),
        f"INFO decision {json.dumps(logged(difficulty='trivial'))}",
        json.dumps(logged(difficulty="complex", **{"class": "confidential"})),
        json.dumps({"kind": "intent", "decision": "dec_4", "lanes": [{"lane": "here", "location": "device"}]}
                   | {"class": "public", "input_tokens": 9, "reasons": ["local_first"], "policy_version": "0" * 64}),
        json.dumps(logged(reason="pinned")),
        "something else",
    ]  # fmt: skip
    log.write_text("\n".join(lines))
    said = told("diff", old, new, "--log", log)
    assert "5 decisions (1 other lines)" in said
    assert "2 stay where they are, 1 change:" in said
    assert "public: here -> world   e.g. dec_1" in said
    assert "$0.000000 -> $0.003000 (+$0.003000)" in said
    assert "1 cannot be told" in said
    assert "1 were asked for by their clients" in said


def test_diff_without_a_log_tries_both_sides_of_every_condition(tmp_path: Path) -> None:
    old = written(tmp_path / "old.yaml")
    new = written(
        tmp_path / "new.yaml", rules=[rule("long", "world", input_tokens_over=50), *[rule("x", "here")]]
    )
    said = told("diff", old, new)
    assert "public: here -> world" in said
    assert "confidential: here -> world" not in said
    assert "No first lane changes." in told("diff", old, old)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("", "holds no decision", id="empty"),
        pytest.param(json.dumps(logged(input_tokens=-1)), "line 1 is no decision: input_tokens", id="wrong"),
    ],
)
def test_a_log_that_is_none_is_refused_by_name(tmp_path: Path, content: str, words: str) -> None:
    path = written(tmp_path / "policy.yaml")
    log = tmp_path / "log.jsonl"
    log.write_text(content)
    said = told("diff", path, path, "--log", log, exit_code=1)
    assert str(log) in said
    assert words in said


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_configuration_that_is_not_there_is_named(tmp_path: Path, command: str) -> None:
    assert "nobody.yaml: No such file" in told(command, tmp_path / "nobody.yaml", exit_code=1)


def test_the_table_of_a_configuration_is_a_file_beside_it() -> None:
    table = load("configs/policies/general.yaml").policy.table
    assert table is not None
    assert len(table.tasks) == 16
