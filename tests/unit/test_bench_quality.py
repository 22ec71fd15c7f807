"""`python -m bench.quality sensitivity`: the figures it gives for examples whose answer is plain."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bench.quality.__main__ import main

Row = dict[str, Any]
CARD = "my card is 4242 4242 4242 4242"
FIELDS = {
    *("set", "file", "n", "recall_confidential", "recall_internal", "precision", "f1", "f2", "by_type"),
    *("false_alarms_confidential", "false_alarms_internal", "p50_ms", "p95_ms"),
}


def save(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def measured(data: Path, tmp_path: Path, *more: str) -> dict[str, Row]:
    out = tmp_path / "out.json"
    assert main(["sensitivity", "--data", str(data), "--json", str(out), *more]) == 0
    return {row["set"]: row for row in json.loads(out.read_text())["results"]}


def span(kind: str) -> Row:
    return {"type": kind, "value": "", "start": 0, "end": 0}


def test_shares_are_over_the_cases_that_can_say(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = [
        {"text": CARD, "spans": [span("CREDIT_CARD")], "template_id": 1},
        {"text": "a line about trees", "spans": [span("PHONE_NUMBER")], "template_id": 2},
        {"text": "a line about rain", "spans": [span("DATE_TIME")], "template_id": 3},
    ]
    save(data / "pii_mine", rows)
    save(data / "prompts_mine", [{"prompt": "How do trees drink?"}, {"prompt": CARD}])
    secret = base64.b64encode(
        b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n"
    ).decode()
    plain = base64.b64encode(b"nothing to see").decode()
    save(
        data / "secrets_mine",
        [{"b64": secret, "label": 1, "kind": "pki"}, {"b64": plain, "label": 0, "kind": "pki"}],
    )
    save(data / "router_outcomes", [{"prompt": CARD, "scores": {}}])
    found = measured(data, tmp_path)
    assert set(found) == {"pii_mine", "prompts_mine", "secrets_mine"}
    assert all(set(row) == FIELDS for row in found.values())
    pii, public, secrets = found["pii_mine"], found["prompts_mine"], found["secrets_mine"]
    assert (pii["n"], pii["recall_confidential"], pii["recall_internal"], pii["precision"]) == (
        3,
        0.5,
        0.5,
        1.0,
    )
    assert (pii["f1"], pii["f2"]) == (0.6667, 0.5556)
    assert pii["by_type"] == {"CREDIT_CARD": 1.0, "PHONE_NUMBER": 0.0}
    assert pii["false_alarms_confidential"] is None
    assert (public["false_alarms_confidential"], public["recall_internal"], public["f1"]) == (0.5, None, None)
    assert (secrets["recall_confidential"], secrets["precision"], secrets["f1"]) == (1.0, 1.0, 1.0)


def test_a_folder_with_another_name_is_known_by_its_rows(tmp_path: Path) -> None:
    save(tmp_path / "data" / "letters", [{"prompt": CARD, "pii_units": ["x"], "category": "bank"}])
    assert measured(tmp_path / "data", tmp_path)["letters"]["by_type"] == {"bank": 1.0}


def test_the_parts_are_the_whole_and_keep_templates_together(tmp_path: Path) -> None:
    rows = [{"text": f"line {n}", "spans": [], "template_id": n // 2} for n in range(40)]
    save(tmp_path / "data" / "pii_mine", rows)
    sizes = [
        measured(tmp_path / "data", tmp_path, "--part", part)["pii_mine"]["n"] for part in ("dev", "held-out")
    ]
    assert sum(sizes) == 40
    assert all(size and size % 2 == 0 for size in sizes)


@pytest.mark.parametrize("content", [b"{", b'{"label": "pii"}', b'{"prompt": 3}', b"\x1f\x8b garbage"])
def test_unreadable_data_is_named(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sensitivity_mine"
    folder.mkdir()
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(content) if content[:1] == b"{" else content)
    assert main(["sensitivity", "--data", str(tmp_path)]) == 1
    assert "rows.jsonl.gz" in capsys.readouterr().err.replace("\n", "")


def test_a_folder_without_a_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", "--data", str(tmp_path)]) == 1
    assert "no set to measure" in capsys.readouterr().err.replace("\n", " ")


TASK: Row = {
    "id": "t1",
    "category": "simple_python",
    "question": [[{"role": "user", "content": "Area of 3 by 4?"}]],
    "function": [
        {
            "name": "area.of",
            "parameters": {
                "type": "dict",
                "properties": {"w": {"type": "integer"}, "h": {"type": "float"}, "unit": {"type": "string"}},
                "required": ["w", "h"],
            },
        }
    ],
    "ground_truth": [{"area.of": {"w": [3], "h": [4.0], "unit": ["", "m"]}}],
}
RIGHT = '{"w": 3, "h": 4}'


def output(model: str, raw: Any, valid: bool, error: str | None = None) -> Row:
    return {
        "id": "t1",
        "model": model,
        "category": "simple",
        "output": raw,
        "valid": valid,
        "error_type": error,
    }


def replayed(tmp_path: Path, *rows: Row) -> dict[str, Row]:
    for folder, lines in (("bfcl_tasks", [TASK]), ("bfcl_new", rows)):
        (tmp_path / folder).mkdir()
        text = "\n".join(map(json.dumps, lines))
        (tmp_path / folder / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    out = tmp_path / "out.json"
    assert main(["tools", "--data", str(tmp_path), "--json", str(out)]) == 0
    return {one["model"]: one for one in json.loads(out.read_text())["results"]}


def test_tool_calls_are_replayed_through_the_verdict(tmp_path: Path) -> None:
    found = replayed(
        tmp_path,
        output("native", [{"area_of": RIGHT}], True),
        output("text", "[area.of(w=3, h=4.0)]", True),
        output("fenced", '```json\n[{"name": "area.of", "arguments": {"w": 3, "h": 4}}]\n```', False, "ast_decoder:x"),
        output("silent", "I cannot do that.", False, "ast_decoder:x"),
        output("typed", [{"area_of": '{"w": "3", "h": 4}'}], False, "type_error:simple"),
        output("wrong", "[area.of(w=3, h=5)]", False, "value_error:others"),
        output("missing", "[area.of(w=3)]", False, "simple_function_checker:missing_required"),
    )  # fmt: skip
    fields = {
        "set",
        "model",
        "n",
        "raw_valid",
        "repaired_valid",
        "format_repaired",
        "type_repaired",
        "broken",
    }
    assert all(set(one) == fields | {"violation_recall", "false_rejects"} for one in found.values())
    assert {one["set"] for one in found.values()} == {"bfcl_new"}
    assert [found[m]["repaired_valid"] for m in ("native", "text", "fenced", "typed")] == [1.0] * 4
    assert [found[m]["repaired_valid"] for m in ("silent", "wrong", "missing")] == [0.0] * 3
    assert found["fenced"]["format_repaired"] == found["typed"]["type_repaired"] == 1.0
    assert found["silent"]["format_repaired"] is None
    assert found["native"]["broken"] == found["text"]["false_rejects"] == 0.0
    assert found["typed"]["violation_recall"] == found["missing"]["violation_recall"] == 1.0
    assert found["wrong"]["violation_recall"] is None


def test_a_folder_without_outputs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "--data", str(tmp_path)]) == 1
    assert "no outputs to replay" in capsys.readouterr().err
