"""Moving windows and visits: never more than the limit within any minute, and what is not used comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import RateLimited
from serve.keys.limiter import Limiter, Visit
from serve.keys.rights import Allowance, Key, Rights
from serve.keys.window import SECONDS, Window


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(name: str = "me", **limits: int) -> Key:
    return Key("0123456789", name, "", Rights(), Allowance(**limits))


steps = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 12), st.integers(0, 12)), max_size=60)


@given(steps)
def test_no_minute_ever_holds_more_than_the_limit(moves: list[tuple[float, int, int]]) -> None:
    window, now, taken = Window(), 0.0, []
    for pause, amount, actual in moves:
        now += pause
        got = window.take(amount, 10, now)
        if got is None:
            wait = window.wait(amount, 10, now)
            assert (wait is None) == (amount > 10)
            if wait is not None:
                assert wait > 0
                assert window.take(amount, 10, now + wait + 1e-6) is not None
                now += wait + 1e-6
                taken.append((now, amount))
            continue
        window.correct(got, min(actual, amount), now)
        taken.append((now, min(actual, amount)))
        assert sum(size for at, size in taken if at > now - SECONDS) <= 10


@given(st.lists(st.integers(1, 10), min_size=1, max_size=20))
def test_after_a_minute_nothing_is_used(amounts: list[int]) -> None:
    window = Window()
    for amount in amounts:
        window.take(amount, 1000, 5.0)
    assert window.used(5.0) == sum(amounts)
    assert window.used(5.0 + SECONDS) == 0


def test_the_request_over_the_limit_is_told_when_to_come_again() -> None:
    clock = Clock()
    limiter, me = Limiter(1, clock), key(requests=2)
    for _ in range(2):
        visit = limiter.visit(me)
        visit.enter()
        visit.leave()
        clock.now += 10
    with pytest.raises(RateLimited, match="2 requests per minute") as caught:
        limiter.visit(me).enter()
    assert caught.value.retry_after_s == 40
    assert "x-should-retry" not in caught.value.headers
    clock.now += 40
    limiter.visit(me).enter()


def test_what_was_not_used_comes_back() -> None:
    clock = Clock()
    limiter, me = Limiter(1, clock), key(tokens=1000)
    first = limiter.visit(me)
    first.reserve(900)
    with pytest.raises(RateLimited):
        limiter.visit(me).reserve(200)
    first.settle(100)
    assert first.headers()["x-ratelimit-remaining-tokens"] == "900"
    limiter.visit(me).reserve(900)


def test_what_never_fits_is_not_to_be_tried_again() -> None:
    with pytest.raises(RateLimited, match="never fits") as caught:
        Limiter(1, Clock()).visit(key(tokens=100)).reserve(101)
    assert caught.value.retry_after_s is None
    assert caught.value.headers == {"x-should-retry": "false"}


def test_a_place_is_free_again_when_its_request_is_over() -> None:
    limiter, me = Limiter(1, Clock()), key(parallel=1)
    first = limiter.visit(me)
    first.enter()
    with pytest.raises(RateLimited, match="at the same time"):
        limiter.visit(me).enter()
    first.leave()
    limiter.visit(me).enter()


def test_one_keys_flood_takes_nothing_from_another() -> None:
    limiter = Limiter(1, Clock())
    flood = key("flood", requests=3, parallel=50)
    for _ in range(3):
        limiter.visit(flood).enter()
    with pytest.raises(RateLimited):
        limiter.visit(flood).enter()
    limiter.visit(key("quiet", requests=3)).enter()


def test_a_rotated_key_shares_the_limits_of_the_one_it_replaces() -> None:
    limiter = Limiter(1, Clock())
    limiter.visit(key(requests=1)).enter()
    with pytest.raises(RateLimited):
        limiter.visit(Key("9876543210", "me", "", Rights(), Allowance(requests=1))).enter()


def test_two_routers_give_half_each() -> None:
    assert Limiter(2, Clock()).visit(key(requests=10)).headers()["x-ratelimit-limit-requests"] == "5"


def test_the_headers_say_what_is_left_and_when_all_of_it_is_back() -> None:
    clock = Clock()
    limiter, me = Limiter(1, clock), key(requests=3)
    limiter.visit(me).enter()
    clock.now += 15
    assert limiter.visit(me).headers() == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "45.000s",
    }


def test_open_mode_limits_nobody() -> None:
    visit = Visit.anonymous()
    visit.reserve(10**9)
    visit.settle(0)
    assert visit.headers() == {}
    assert (visit.rights.admin, visit.rights.overrides) == (False, True)
