"""The replay of outcomes: reads what it is given, counts what it says, and learns where there is something to learn."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.learning import __main__ as command
from bench.learning import measure, show
from bench.learning.replayed import Replayed, read
from bench.learning.stream import Habits, Learner
from bench.quality.cases import DataUnreadable
from serve.learning.log import TASKS
from serve.learning.trial import Rules
from serve.routing_table import flat
from tests.support.learning import table, world

MODELS = ("llama-3.1-8b-instruct", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20240620")
SHARED = Path(__file__).parents[3] / "shared" / "data"


def known(count: int, seed: int) -> Replayed:
    """The made-up world as a replay; costs in USD."""
    made = world(count, seed)
    family = (made.task == made.task.max()).astype(np.int64)
    difficulty = np.minimum((made.gain * 3).astype(np.int64), 2)
    return Replayed(("one", "two"), family, made.task, made.gain, difficulty, made.success, made.cost / 1e6)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "zeroeval"
    folder.mkdir()
    rows = [
        {
            "id": str(number),
            "dataset": "gsm",
            "prompt": f"What is {number} plus {number}?",
            "scores": dict(zip(MODELS, (number % 2, 1, 1), strict=True)),
            "out_tokens_est": dict.fromkeys(MODELS, 100),
        }
        for number in range(30)
    ]
    (folder / "gsm.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


def test_a_set_is_read_with_a_column_for_each_tier(data: Path) -> None:
    found = read(data, None, Console(quiet=True))
    assert (len(found), found.families) == (30, ("zeroeval/gsm",))
    assert found.score.sum(axis=0).tolist() == [15, 30, 30]
    tokens = len("What is 0 plus 0?") / 4
    assert found.cost[0] == pytest.approx(
        [(tokens * 0.05 + 8) / 1e6, (tokens * 0.15 + 60) / 1e6, (tokens * 3 + 1500) / 1e6]
    )
    assert len(read(data, 7, Console(quiet=True))) == 7


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataUnreadable, match="holds no set"):
        read(tmp_path, None, Console(quiet=True))
    assert command.main(["--data", str(tmp_path), "--tables", "2", "--decisions", "500"]) == 1
    assert "holds no set" in capsys.readouterr().err


def test_without_data_only_the_speed_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    assert command.main(["--tables", "20", "--decisions", "2000", "--json", str(out)]) == 0
    found = json.loads(out.read_text("utf-8"))
    assert (found["speed"]["tables"], found["speed"]["decisions"]) == (20, 2000)
    assert "routers" not in found


def test_the_oracle_takes_the_cheapest_of_the_best() -> None:
    one = known(2, 1)
    one = replace(one, score=np.array([[0, 1, 1], [0, 0, 0]]), cost=np.array([[1, 2, 3], [1, 2, 3]]))
    assert measure.oracle(one).tolist() == [1, 0]


def test_a_result_is_beside_always_highest() -> None:
    data = known(4_000, 2)
    highest = measure.result("top", data, np.full(4_000, 2), np.zeros(4_000))
    assert [highest.quality, highest.cpst] == pytest.approx([1, 1])
    swept = measure.result("top", data, np.full(4_000, 2), data.cost[:, 0])
    assert swept.cpst == pytest.approx(1.01)
    cheapest = measure.result("low", data, np.zeros(4_000, dtype=np.int64), np.zeros(4_000))
    assert cheapest.quality < 0.8
    assert cheapest.cpst < 0.02
    assert cheapest.regret > highest.regret > 0


def test_a_stream_drifts_from_one_mix_to_another() -> None:
    data = known(4_000, 3)
    stream = measure.drifting(data, 20_000)
    assert len(stream) == 20_000
    first, last = stream.family[:2_000].mean(), stream.family[-2_000:].mean()
    assert abs(first - last) > 0.02


def test_learning_saves_money_and_keeps_the_successes() -> None:
    stream = measure.drifting(known(8_000, 4), 20_000)
    found = measure.compare(
        stream, table(), {"learned": Habits(explore=0.06, sweep=0.1, share=0.4)}, 1, lambda n: None
    )
    by_name = {row.router: row for row in found}
    assert by_name["oracle"].quality > 1
    learned = by_name["learned, seed 0"]
    assert learned.late_cpst < 0.9
    assert learned.late_quality > 0.95
    assert learned.quality > by_name["random, cost of learned, seed 0"].quality


def test_a_bad_table_on_trial_is_taken_back_before_it_fails_200_times() -> None:
    data = known(8_000, 5)
    for seed in range(3):
        habits = Habits(share=measure.BAD_SHARE, every=10**9, rules=Rules())
        learner = Learner(flat(3, table()), habits, seed, canary=(flat(1, table()), 1e6))
        learner.answer(measure.drifting(data, 10_000, seed))
        event = learner.run.events[-1]
        assert event.what == "rolled back"
        mine = np.flatnonzero(learner.run.canary[: event.at])
        assert len(mine) < 2_000
        assert learner.current == flat(3, table())


def test_the_tables_and_the_plot_show_every_router(tmp_path: Path) -> None:
    row = {"quality": 1.0, "cpst": 0.5, "usd": 1.0, "regret": 2.0, "late_quality": 1.0, "late_cpst": 0.4}
    found = {
        "prompts": 10,
        "requests": 20,
        "routers": [{"router": name} | row for name in ("complexity rule", "learned, seed 0", "random, x")],
        "unseen": [
            {"family": "a/b", "promoted_at": None} | dict.fromkeys(("before", "at_1000", "after"), (0.9, 0.1))
        ],
        "rollbacks": [{"ended": "rolled back", "failed": 50}, {"ended": "going", "failed": 60}],
        "speed": measure.speed(2, 500),
    }
    console = Console(record=True, width=200, file=io.StringIO())
    show.tables(found, console)
    text = console.export_text()
    assert "learned, seed 0" in text
    assert "rolled back in 1 of 2" in text
    show.plot(found, tmp_path / "plot.svg")
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared outcome data is not there")
def test_the_shared_data_can_be_replayed() -> None:
    found = read(SHARED, 5, Console(quiet=True))
    assert len(found) > 20
    assert {TASKS[place] for place in found.task} > {"reasoning"}
