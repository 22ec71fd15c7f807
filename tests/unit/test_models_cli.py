"""What `pointsman models` says and which names it takes from a config file. Fetches nothing."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bars import amount, short
from models.cli import app, used_by
from models.watch import Step

QWEN, MINILM = "qwen2.5-coder-0.5b-instruct", "all-minilm-l6-v2"


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(f"engines: {{a: {{model: {QWEN}, x: 1}}}}", [QWEN], id="engine"),
        pytest.param(f"scout: {{model: {MINILM}}}\nengines:", [MINILM], id="scout"),
        pytest.param(f"engines: {{a: {{model: {QWEN}}}, b: {{model: {QWEN}}}}}", [QWEN], id="shared"),
        pytest.param("engines: {a: {model: /models/own}}", [], id="a-folder-of-the-user"),
        pytest.param("engines:\nlanes: []", [], id="no-engine"),
        pytest.param("", [], id="empty"),
    ],
)
def test_names_in_a_config(tmp_path: Path, text: str, names: list[str]) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(text)
    assert used_by(config) == names


def test_config_without_models_fetches_nothing(tmp_path: Path) -> None:
    config = tmp_path / "laptop.yaml"
    config.write_text("lanes: []")
    outcome = CliRunner().invoke(app, ["fetch", "--config", str(config)])
    assert outcome.exit_code == 0
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("text", ["engines: [", "engines: 3", None])
def test_unreadable_config_is_named(tmp_path: Path, text: str | None) -> None:
    config = tmp_path / "router.yaml"
    if text is not None:
        config.write_text(text)
    outcome = CliRunner().invoke(app, ["fetch", "--config", str(config)])
    assert outcome.exit_code == 1
    assert "router.yaml cannot be read as a config file" in outcome.stderr


def test_list_shows_state_of_every_model() -> None:
    outcome = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"})
    assert outcome.exit_code == 0
    for word in (QWEN, MINILM, "Apache-2.0", "missing", "491.4 MB"):
        assert word in outcome.stdout


def test_verify_without_files_fails_and_says_what_to_run() -> None:
    outcome = CliRunner().invoke(app, ["verify"])
    assert outcome.exit_code == 1
    assert f"run: pointsman models fetch {QWEN}" in outcome.stdout


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    outcome = CliRunner().invoke(app, ["fetch", "gpt-2"])
    assert outcome.exit_code == 1
    assert QWEN in outcome.stderr


def test_amounts_are_written_for_people() -> None:
    download = Step("f", 81_900_000, 491_400_064, detail="part 2 of 6")
    assert amount(download) == "81.9 MB of 491.4 MB, part 2 of 6"
    assert amount(Step("f", 3, 290, unit="items")) == "3 of 290"


def test_long_names_keep_both_ends() -> None:
    assert short("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf") == "qwen2.5-coder-…t-q4_k_m.gguf"
    assert short("config.json") == "config.json"
