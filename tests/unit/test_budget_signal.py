"""What answers cost, what they may cost at most, and what a budget does to a decision. Pure: no database."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve.config import Config, load
from serve.errors import ConfigError
from serve.keys.entry import Grant, KeyEntry
from serve.keys.rights import ANONYMOUS
from serve.ledger import money
from serve.ledger.config import Amortised, Prices
from serve.ledger.estimate import Size, cut, reported, worst
from serve.ledger.prices import tariffs
from serve.ledger.terms import Payer, Terms
from serve.wire.openai_answer import PromptDetails, Usage
from tests.support.serving import config

ROOT = Path(__file__).parents[2]
NOON = 1_795_262_400.0
CHEAP = {"input": 0.75, "output": 4.5, "cached_input": 0.075}


def made(**changes: Any) -> Config:
    return config("http://127.0.0.1:1", "http://127.0.0.1:2", **changes)


@pytest.mark.parametrize(
    ("text", "micro"), [("0", 0), ("0.05", 50_000), (" 1 ", 1_000_000), ("1e-6", 1), ("0.0000009", 0)]
)
def test_money_in_headers_is_rounded_down(text: str, micro: int) -> None:
    assert money.parse(text) == micro


@pytest.mark.parametrize("text", ["", "-1", "NaN", "Infinity", "1e99", "1,5", "one", "\uff11", "0" * 40])
def test_other_words_are_no_money(text: str) -> None:
    with pytest.raises(ValueError, match="US dollars"):
        money.parse(text)


@given(st.integers(-(10**15), 10**15))
def test_money_reads_back_as_it_was_written(amount: int) -> None:
    assert money.micro(float(money.usd(amount))) == pytest.approx(amount, abs=1 + abs(amount) * 1e-15)


def test_cost_is_rounded_up_and_cached_input_has_its_own_price() -> None:
    tariff = tariffs(made(prices={"lanes": {"cloud-openai": CHEAP}}))["cloud-openai"]
    assert tariff.cost(1, 0, 0) == 1
    assert tariff.cost(1_000_000, 0, 0) == 750_000
    assert tariff.cost(1_000_000, 400_000, 0) == 600_000 * 0.75 + 400_000 * 0.075
    assert tariff.cost(0, 0, 1_000_000) == 4_500_000


def test_who_says_what_a_lane_costs() -> None:
    """The lane itself, then its name, then its model; else what nobody listed costs, or our own hardware."""
    prices = {"lanes": {"cloud-openai": CHEAP, "ok": {"input": 2, "output": 2}}}
    found = tariffs(made(prices=prices))
    assert (found["cloud-openai"].input, found["cloud-anthropic"].input) == (750_000, 2_000_000)
    unlisted = tariffs(made())["cloud-openai"]
    assert (unlisted.billed, unlisted.output) == (True, 150_000_000)
    assert tariffs(made())["local-general"].free
    own = tariffs(made(prices={"local": {"local-tools": {"usd_per_hour": 3.6, "tokens_per_second": 10}}}))
    assert (own["local-tools"].billed, own["local-tools"].input) == (False, 100_000_000)


def test_an_unlisted_provider_may_be_refused_at_load() -> None:
    with pytest.raises(
        ValidationError, match=r"lanes\.cloud-openai: costs money, and no price says how much"
    ):
        made(prices={"unlisted": None})


@pytest.mark.parametrize(
    "wrong",
    [
        {"lanes": {"a": {"input": -1, "output": 1}}},
        {"lanes": {"a": {"input": math.nan, "output": 1}}},
        {"lanes": {"a": {"input": 1}}},
        {"local": {"a": {"usd_per_hour": 1, "tokens_per_second": 0}}},
        {"lane": {}},
    ],
)
def test_wrong_prices_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Prices.model_validate(wrong)


def test_prices_stand_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    shipped = load(ROOT / "configs" / "cpu.yaml")
    assert shipped.prices.unlisted is None
    assert set(shipped.prices.lanes) >= {"gpt-5.4-mini", "claude-sonnet-5-5"}
    alone = tmp_path / "cpu.yaml"
    alone.write_text((ROOT / "configs" / "cpu.yaml").read_text())
    with pytest.raises(ConfigError, match=r"prices\.yaml: No such file"):
        load(alone)


@pytest.mark.parametrize(
    ("price", "told"),
    [
        (
            "{input: -0.75, output: 4.5}",
            "prices.lanes.gpt-5.4-mini.input: Input should be greater than or equal to 0",
        ),
        ("{input: .nan, output: 4.5}", "prices.lanes.gpt-5.4-mini.input: "),
        ("{input: 1, output: 2, cached_input: -1}", "prices.lanes.gpt-5.4-mini.cached_input: "),
    ],
)
def test_a_price_that_cannot_be_is_named_and_nothing_starts(tmp_path: Path, price: str, told: str) -> None:
    """A provider that pays us would never run out of budget."""
    folder = ROOT / "configs"
    (tmp_path / "cpu.yaml").write_text((folder / "cpu.yaml").read_text())
    shipped = (folder / "prices.yaml").read_text()
    line = next(line for line in shipped.splitlines() if "gpt-5.4-mini:" in line)
    (tmp_path / "prices.yaml").write_text(shipped.replace(line, f"  gpt-5.4-mini: {price}"))
    with pytest.raises(ConfigError, match=re.escape(f"cpu.yaml: 1 mistake(s)\n  {told}")):
        load(tmp_path / "cpu.yaml")


def test_an_hour_is_spread_over_its_tokens() -> None:
    price = Amortised(usd_per_hour=3.6, tokens_per_second=100).price
    assert price.input == price.output == pytest.approx(10)


TARIFF = tariffs(made(prices={"lanes": {"cloud-openai": CHEAP}}))["cloud-openai"]
SIZE = Size(input_tokens=100, limit=50)


@pytest.mark.parametrize(
    ("usage", "heard"),
    [
        pytest.param((0, 0), 3, id="nothing-at-all"),
        pytest.param((10, 0), 3, id="words-for-nothing"),
        pytest.param((0, 10), 3, id="no-input"),
        pytest.param((10, 51), 3, id="over-max_tokens"),
        pytest.param((10**9, 10), 3, id="more-than-it-holds"),
    ],
)
def test_a_report_that_cannot_be_true_is_none(usage: tuple[int, int], heard: int) -> None:
    taken, given_out = usage
    said = Usage(prompt_tokens=taken, completion_tokens=given_out, total_tokens=taken + given_out)
    assert reported(said, heard, SIZE, TARIFF) is None


@given(st.integers(1, 200_000), st.integers(0, 50), st.integers(0, 10**9), st.integers(0, 60))
def test_what_is_charged_is_what_was_said_or_at_most_the_worst(
    taken: int, given_out: int, cached: int, heard: int
) -> None:
    """S9 on every pair of numbers: a true report is believed, a discount never exceeds the input."""
    details = PromptDetails(cached_tokens=cached)
    said = Usage(
        prompt_tokens=taken, completion_tokens=given_out, total_tokens=1, prompt_tokens_details=details
    )
    tokens = reported(said, heard, SIZE, TARIFF)
    if tokens is not None:
        assert (tokens.input, tokens.output) == (taken, given_out)
        assert tokens.cached <= tokens.input
    most, broken = worst(SIZE, TARIFF), cut(heard, 0.5, SIZE, TARIFF)
    assert min(heard, most.output) <= broken.output <= most.output
    assert broken.input == most.input >= SIZE.input_tokens


def test_a_client_that_sets_no_limit_is_reserved_what_the_lane_may_write() -> None:
    assert worst(Size(10, None, choices=3), TARIFF).output == 3 * 4096


def test_keys_teams_sessions_and_everybody_pay_by_day_and_month() -> None:
    grant = {"team": "blue", "budget_usd_day": "1.50"}
    entry = KeyEntry(id="0" * 10, name="ann", sha256="0" * 64, grant=Grant.model_validate(grant))
    settings = made(
        budgets={"key": {"day": 9, "month": 20}, "teams": {"blue": {"month": 100}}, "session": 0.5}
    )
    terms = Terms(settings)
    accounts = terms.accounts(Payer(entry.key(settings.limits), "s"), NOON)
    limits = {account.id: account.limit for account in accounts}
    session = next(name for name in limits if name.startswith("session:"))
    assert limits == {
        "total@2026-11-21": None, "total@2026-11": None,
        "team:blue@2026-11-21": None, "team:blue@2026-11": 100_000_000,
        "key:ann@2026-11-21": 1_500_000, "key:ann@2026-11": 20_000_000,
        session: 500_000,
    }  # fmt: skip
    other = terms.accounts(Payer(ANONYMOUS, "s"), NOON)
    assert session not in {account.id for account in other}, "a session is its key's alone"


def test_an_older_name_of_a_budget_still_holds() -> None:
    assert Grant.model_validate({"budget_eur": "5"}).budget_usd_month == 5


def test_a_lease_outlives_every_request() -> None:
    settings = made(dispatch={"deadline_s": 100})
    assert Terms(settings).lease_s > 100 + settings.server.stall_s
