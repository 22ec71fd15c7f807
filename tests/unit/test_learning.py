"""Learning by itself: estimates against the truth, bounds that hold at every moment, proposals, trials, drawing."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.learning import propose as proposing
from serve.learning.bounds import bounds
from serve.learning.estimate import Ladder, Tables, columns, evaluate, scores
from serve.learning.log import TASKS, Bools, Floats, Log, Swept, answered, joined, with_sweeps
from serve.learning.lots import lots
from serve.learning.placed import Placed, base_of
from serve.learning.propose import propose
from serve.learning.trial import Rules, judge
from serve.routing_table import TIERS, RoutingTable, flat
from serve.signals.readings import ScoutReading, TaskReading
from tests.support.learning import EASY, HARD, World, logged, table, world


def told(log: Log) -> Floats:
    return np.array([log.success.sum(), log.cost.sum()])


def test_the_estimate_is_right_though_the_log_was_made_by_another_table() -> None:
    log = logged(world(40_000, seed=1), flat(3, table()), explore=0.3, seed=2)
    tables = [flat(tier, table()) for tier in TIERS] + [table(**{EASY: (1, None), HARD: (1, 0.5)})]
    values = evaluate(scores(log), columns(tables), columns([flat(3, table())]), worth=1e5)
    truth = world(200_000, seed=3)
    for line, one in enumerate(tables):
        chosen = columns([one]).chosen(0, truth.task, truth.gain)
        rows = np.arange(len(chosen))
        assert values.success[line] == pytest.approx(truth.success[rows, chosen].mean(), abs=0.02)
        assert values.cost[line] == pytest.approx(truth.cost[rows, chosen].mean(), rel=0.05)


def test_a_naive_mean_would_have_been_wrong_where_the_log_prefers_easy_requests() -> None:
    by_gain = table(**{EASY: (1, None), HARD: (1, 0.5)})
    log = logged(world(40_000, seed=4), by_gain, explore=0.1, seed=5)
    naive = log.success[log.seen[:, 0], 0].mean()
    values = evaluate(scores(log), columns([flat(1, table())]), columns([by_gain]), worth=1e5)
    truth = world(200_000, seed=6).success[:, 0].mean()
    assert abs(naive - truth) > 0.05
    assert values.success[0] == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("answered_share", [1.0, 0.5])
def test_sweeps_tell_of_the_tier_below_however_many_of_them_came_to_nothing(answered_share: float) -> None:
    known = world(40_000, seed=31)
    log = logged(known, flat(2, table()), explore=0.0, seed=32)
    source, count = np.random.default_rng(33), len(log)
    judged = (source.random(count) < 0.2) & (source.random(count) < answered_share)
    open_to = source.random(count) < 0.9  # a tenth could not have been swept
    share = np.where(open_to, 0.2, 0.0)[:, None] * (1.0, 0.0, 0.0)
    asked = np.where(judged & open_to, 0, -1)
    found = with_sweeps(log, Swept(np.full(count, 7), share, asked, known.success[:, 0], known.cost[:, 0]))
    assert found.seen[:, 0].sum() == (asked == 0).sum()
    assert found.chance[open_to, 0].mean() == pytest.approx(0.2 * answered_share, rel=0.1)
    assert found.chance[~open_to, 0].max() == 0
    told = scores(found)
    assert told.success[:, 0].mean() == pytest.approx(known.success[:, 0].mean(), abs=0.02)
    assert told.cost[:, 0].mean() == pytest.approx(known.cost[:, 0].mean(), rel=0.05)


def test_a_tier_without_a_lane_is_known_by_the_lane_that_would_have_answered() -> None:
    known = world(40_000, seed=36)
    count = len(known.gain)
    without = np.random.default_rng(37).random(count) < 0.5  # no lane of tier 2: then tier 3 answers
    for values in (known.success, known.cost):
        values[without, 1] = values[without, 2]
    log = logged(known, flat(3, table()), explore=0.0, seed=38)
    lanes = np.where(without, 0b101, 0b111)
    lower = np.stack([np.ones(count), ~without, np.zeros(count)], axis=1)
    share = 0.2 * lower / lower.sum(axis=1, keepdims=True)
    lot = np.random.default_rng(39).random(count)
    asked = np.where(lot < share[:, 0], 0, np.where(lot < share[:, :2].sum(axis=1), 1, -1))
    rows = np.arange(count)
    found = with_sweeps(log, Swept(lanes, share, asked, known.success[rows, asked], known.cost[rows, asked]))
    assert found.seen[without, 1].all()
    assert (found.chance[without, 1] == 1).all()
    told = scores(found)
    for tier in range(3):
        assert told.success[:, tier].mean() == pytest.approx(known.success[:, tier].mean(), abs=0.02)
        assert told.cost[:, tier].mean() == pytest.approx(known.cost[:, tier].mean(), rel=0.05)


def test_what_answered_is_not_counted_once_more_by_a_sweep() -> None:
    known = world(1_000, seed=34)
    log = logged(known, flat(1, table()), explore=0.0, seed=35)
    asked = np.zeros(len(log), dtype=np.int64)
    swept = Swept(np.full(len(log), 7), np.ones((len(log), 3)), asked, np.zeros(len(log)), np.ones(len(log)))
    same = with_sweeps(log, swept)
    assert (same.success == log.success).all()
    assert (same.chance[:, 0] == log.chance[:, 0]).all()


def test_the_error_says_how_far_off_an_estimate_may_be() -> None:
    truth = world(200_000, seed=7)
    cheap, dear = flat(1, table()), flat(3, table())
    difference = truth.success[:, 0].mean() - truth.success[:, 2].mean()
    covered = 0
    for seed in range(60):
        log = logged(world(1_500, seed=100 + seed), dear, explore=0.3, seed=seed)
        values = evaluate(scores(log), columns([cheap]), columns([dear]), worth=1e12)
        covered += abs(values.better[0] - difference) <= 1.96 * values.error[0]
    assert covered >= 50  # 57 are expected


@given(st.integers(0, 2**31))
def test_prefix_sums_are_the_sums(seed: int) -> None:
    source = np.random.default_rng(seed)
    task, gain = source.integers(0, len(TASKS), 200), source.integers(0, 20, 200) / 20
    values = source.normal(size=(200, len(TIERS), 2))
    tables = Tables(
        source.integers(0, len(TIERS), (5, len(TASKS))),
        source.choice([0.0, 0.3, 0.5, 1.0, np.inf], (5, len(TASKS))),
    )
    sums = Ladder(task, gain, values).of_tables(tables)
    for line in range(5):
        chosen = tables.chosen(line, task, gain)
        assert sums[line] == pytest.approx(values[np.arange(200), chosen].sum(axis=0), abs=1e-9)


def test_columns_choose_as_the_table_does() -> None:
    one = table(**{EASY: (1, 0.4), HARD: (2, 0.7)})
    for name in (EASY, HARD, "other"):
        for gain in (0.0, 0.4, 0.69, 0.7, 1.0):
            wanted = one.choose(TaskReading(name, 1.0), scout(gain)).tier
            task = np.array([TASKS.index(name)])
            assert TIERS[columns([one]).chosen(0, task, np.array([gain]))[0]] == wanted


def scout(gain: float) -> ScoutReading:
    return ScoutReading(0, 1, 0, 1, "pre-scout", gain, 0.0)


def test_bounds_hold_at_every_moment() -> None:
    wrong = 0
    for seed in range(200):
        x = (np.random.default_rng(seed).random(300) < 0.3).astype(float)
        low, high = bounds(x, 0.1)
        wrong += not low <= 0.3 <= high
    assert wrong <= 30  # 20 at most are expected, though somebody looked after each of 300 outcomes


@pytest.mark.parametrize("count", [0, 1, 2])
def test_bounds_say_nothing_of_nearly_nothing(count: int) -> None:
    low, high = bounds(np.ones(count), 0.05)
    assert low < 0.5
    assert high == 1.0


def test_bounds_narrow() -> None:
    low, high = bounds(np.tile([0.0, 1.0], 2_000), 0.05)
    assert 0.45 < low < 0.5 < high < 0.55


def test_a_wasteful_table_is_replaced_by_one_that_keeps_the_successes() -> None:
    log = logged(world(20_000, seed=8), flat(3, table()), explore=0.2, seed=9)
    found = propose(log, flat(3, table()), "learned-1")
    assert found.table is not None, found.why
    assert found.table.tasks[EASY].tier == 1
    assert found.proof is not None
    assert found.proof.candidate.cost < 0.7 * found.proof.current.cost
    truth = world(100_000, seed=10)
    chosen = columns([found.table]).chosen(0, truth.task, truth.gain)
    assert truth.success[np.arange(len(chosen)), chosen].mean() >= 0.97 * truth.success[:, 2].mean()


def test_a_table_that_loses_successes_is_replaced_by_a_dearer_one() -> None:
    log = logged(world(20_000, seed=11), flat(1, table()), explore=0.2, seed=12)
    found = propose(log, flat(1, table()), "learned-1")
    assert found.table is not None, found.why
    assert found.proof is not None
    assert found.proof.candidate.success > found.proof.current.success + 0.1


def highest_for_few(known: World, by: RoutingTable, explore: float, seed: int) -> Log:
    """`by` decides but for the share `explore`, which tier 3 answers and tier 1 is asked too."""
    source, count = np.random.default_rng(seed), len(known.gain)
    rows, usual = np.arange(count), columns([by]).chosen(0, known.task, known.gain)
    tier = np.where(source.random(count) < explore, 2, usual)
    chance = np.tile([0.0, 0.0, explore], (count, 1))
    chance[rows, usual] += 1 - explore
    log = answered(known.task, known.gain, tier, chance, known.success[rows, tier], known.cost[rows, tier])
    asked = np.where(tier == 2, 0, -1)
    share = (asked == 0)[:, None] * (1.0, 0.0, 0.0)
    return with_sweeps(log, Swept(np.full(count, 7), share, asked, known.success[:, 0], known.cost[:, 0]))


def test_what_tier_1_did_on_the_same_prompts_says_how_lucky_the_few_of_tier_3_were() -> None:
    lucky, left = [], []
    for seed in range(12):
        known = world(40_000, seed, together=True)
        log = highest_for_few(known, flat(1, table()), 0.05, seed + 50)
        truth = known.success[:, 2].mean()
        lucky.append(known.success[log.seen[:, 2], 2].mean() - truth)
        left.append(scores(log).success[:, 2].mean() - truth)
    assert np.std(left) < 0.8 * np.std(lucky)
    assert abs(np.mean(left)) < 2 * np.std(left) / np.sqrt(12)


def test_a_table_that_keeps_too_little_by_the_estimate_gives_way_to_one_that_surely_keeps_more() -> None:
    known = world(16_000, seed=400, together=True)  # tier 2 keeps 97.2 % of what tier 3 does
    found = propose(highest_for_few(known, flat(2, table()), 0.3, 500), flat(2, table()), "learned-1")
    assert found.table is not None, found.why
    assert found.proof is not None
    assert "too many successes" in found.why
    assert found.proof.gained > 0


def always(*choices: RoutingTable) -> Callable[..., Iterator[tuple[Tables, float]]]:
    """In place of the search: in the whole log, its first and its second half it finds these tables."""
    left = iter(choices)

    def found(*_: object) -> Iterator[tuple[Tables, float]]:
        return iter([(columns([next(left)]), 1e5)])

    return found


def test_a_table_is_proven_by_every_decision_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logged(world(4_000, seed=41), flat(3, table()), explore=0.3, seed=42)
    cheap, dear = flat(1, table()), flat(3, table())
    monkeypatch.setattr(proposing, "_best", always(cheap, cheap, cheap))
    found = propose(log, dear, "learned-1")
    assert found.proof is not None
    first = np.arange(len(log)) // 2 % 2 == 0
    both = np.concatenate([scores(log.part(half)).success for half in (first, ~first)])
    assert found.proof.candidate.success == pytest.approx(both[:, 0].mean())
    assert found.proof.highest.success == pytest.approx(both[:, 2].mean())


def test_what_one_half_of_the_log_alone_would_change_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logged(world(20_000, seed=8), flat(3, table()), explore=0.2, seed=9)
    better, dear = table(**{EASY: (1, None), HARD: (3, None)}), flat(3, table())
    monkeypatch.setattr(proposing, "_best", always(better, better, better))
    assert propose(log, dear, "learned-1").table is not None
    for halves in ((better, dear), (dear, better)):
        monkeypatch.setattr(proposing, "_best", always(better, *halves))
        assert propose(log, dear, "learned-1").table is None


def test_nothing_is_proposed_where_all_tiers_are_alike() -> None:
    same = world(6_000, seed=13)
    same = replace(same, success=np.repeat(same.success[:, :1], 3, axis=1), cost=np.ones_like(same.cost))
    proposed = 0
    for seed in range(20):
        log = logged(same, table(), explore=0.3, seed=seed)
        proposed += propose(log, table(), "learned-1").table is not None
    assert proposed <= 2


@pytest.mark.parametrize("count", [0, 1, 199])
def test_too_few_outcomes_propose_nothing(count: int) -> None:
    log = logged(world(count, seed=14), table(), explore=0.3, seed=15) if count else nothing()
    found = propose(log, table(), "learned-1")
    assert found.table is None
    assert "too few" in found.why


def nothing() -> Log:
    empty = np.empty(0)
    return answered(
        np.empty(0, dtype=np.int64), empty, np.empty(0, dtype=np.int64), np.empty((0, 3)), empty, empty
    )


def test_a_tier_that_was_never_tried_is_never_chosen() -> None:
    log = logged(world(8_000, seed=16), flat(3, table()), explore=0.0, seed=17)
    found = propose(log, flat(3, table()), "learned-1")
    assert found.table is None
    assert found.why == "no row has a better tier or threshold"


def outcomes(
    count: int, share: float, good: float, other: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    canary = source.random(count) < share
    success = (source.random(count) < np.where(canary, other, good)).astype(float)
    return canary, success, np.zeros(count)


def ended(canary: Bools, success: Floats, cost: Floats, rules: Rules) -> tuple[str, int]:
    """How a trial ends that is judged again and again, and after how many failures of the canary."""
    for count in range(100, len(canary), 100):
        verdict = judge(canary[:count], success[:count], cost[:count], 1e5, count, rules)
        if verdict.state != "going":
            return verdict.state, verdict.failed
    return "going", int((success[canary] < 0.5).sum())


def test_a_worse_table_is_found_out_before_200_failures() -> None:
    for seed in range(10):
        state, failed = ended(*outcomes(20_000, 0.1, 0.85, 0.55, seed), Rules())
        assert state == "worse"
        assert failed <= 200


def test_a_table_that_does_no_harm_is_taken() -> None:
    found = [ended(*outcomes(20_000, 0.1, 0.8, 0.85, seed), Rules())[0] for seed in range(10)]
    assert found.count("better") >= 8


def test_failures_beyond_the_limit_end_a_trial_whatever_the_bounds_say() -> None:
    canary, success, cost = outcomes(2_000, 0.5, 0.9, 0.6, 3)
    verdict = judge(canary, success, cost, 1e5, 2_000, Rules(alpha=1e-300, bad=30))
    assert verdict.state == "worse"
    assert "more often than" in verdict.why


def test_a_trial_in_which_nobody_failed_is_not_decided_by_nothing() -> None:
    empty = np.empty(0)
    assert judge(np.empty(0, dtype=bool), empty, empty, 1e5).state == "going"
    canary_alone = judge(np.ones(50, dtype=bool), np.ones(50), np.zeros(50), 1e5)
    assert (canary_alone.state, canary_alone.compared) == ("going", 0)


def test_drawing_follows_the_shares_and_keeps_a_session() -> None:
    canary = flat(3, table())
    drawn = lots(table(), Placed(7, None, canary, 0.2, 1.0), 0.1, frozenset({1, 3}))
    units = [f"session-{number}" for number in range(5_000)]
    names: list[str] = [drawn.lots[drawn.draw(unit)].name for unit in units]
    assert names == [drawn.lots[drawn.draw(unit)].name for unit in units]
    for name, share in (("current", 0.7), ("canary", 0.2), ("explore", 0.1)):
        assert names.count(name) / len(names) == pytest.approx(share, abs=0.02)
    other = replace(drawn, trial=8)
    assert [other.draw(unit) for unit in units] != [drawn.draw(unit) for unit in units]


@given(st.floats(0, 0.3), st.floats(0.01, 0.5), st.floats(0, 1), st.sampled_from(TASKS), st.floats(0, 1))
def test_propensities_are_probabilities(
    explore: float, share: float, gain: float, name: str, sure: float
) -> None:
    drawn = lots(
        table(), Placed(1, table(**{EASY: (2, 0.2)}), flat(3, table()), share, 1.0), explore, frozenset(TIERS)
    )
    task = TaskReading(name, sure)  # type: ignore[arg-type]
    assert sum(drawn.propensity(task, scout(gain))) == pytest.approx(1)
    assert min(drawn.propensity(task, scout(gain))) >= -1e-12
    assert sum(lot.share for lot in drawn.lots) == pytest.approx(1)


def test_without_change_and_exploration_the_configured_table_decides_everything() -> None:
    drawn = lots(table(), None, 0.0, frozenset(TIERS))
    assert [lot.name for lot in drawn.lots] == ["current"]
    assert drawn.lots[drawn.draw("anybody")].table == table()
    assert not drawn.apart(TaskReading(EASY, 1.0), scout(0.5))


def test_another_configured_table_has_another_base() -> None:
    assert base_of(table()) == base_of(table())
    assert base_of(table()) != base_of(table(**{EASY: (3, None)}))


def test_logs_can_be_put_together() -> None:
    log = logged(world(100, seed=1), table(), explore=0.3, seed=1)
    assert told(joined([log.part(slice(0, 40)), log.part(slice(40, 100))])) == pytest.approx(told(log))
