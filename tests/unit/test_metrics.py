"""Numbers as values: counted, added up, written down, read back; and what another version wrote."""

import json
from pathlib import Path

from serve import state
from serve.metrics import catalogue as of
from serve.metrics.book import MOST_SERIES, OTHER, Book
from serve.metrics.sheet import Sheet, exposed, merged, read, written
from serve.metrics.store import ENDED, FOLD_MS, SnapshotStore


def book(*lanes: str) -> Sheet:
    counted = Book()
    for lane in lanes:
        counted.add(of.SPILLS, lane)
        counted.observe(of.SIGNAL, 0.0015, lane)
    return counted.sheet()


def test_what_is_written_is_read_back_the_same() -> None:
    gauges = Sheet(gauges={(of.IN_FLIGHT.name, ("a",)): 3.0})
    sheet = merged([book("a", "b"), gauges])
    assert read(written(sheet)) == sheet


def test_counters_add_up_and_gauges_follow_their_metric() -> None:
    wait, up, flight = (of.WAIT.name, ("a",)), (of.AUDIT_UP.name, ()), (of.IN_FLIGHT.name, ("a",))
    both = merged(Sheet(gauges={wait: w, up: u, flight: f}) for w, u, f in ((1, 1, 2), (3, 0, 5)))
    assert both.gauges == {wait: 3, up: 0, flight: 7}
    assert merged([book("a"), book("a", "b")]).by(of.SPILLS, "lane") == {"a": 2, "b": 1}


def test_what_was_counted_since_is_the_difference() -> None:
    assert book("a", "a", "b").less(book("a")).by(of.SPILLS, "lane") == {"a": 1, "b": 1}
    assert book("a", "a").less(book("a")).spreads == book("a").spreads


def test_what_another_version_wrote_and_this_one_does_not_know_is_left_out() -> None:
    name = of.SPILLS.name
    raw = {
        "counts": [["gone_total", [], 1], [name, ["a", "b"], 1], [name, ["a"], 2]],
        "spreads": [[of.SIGNAL.name, ["scout"], [1, 2, 3]]],
        "gauges": [],
        "more": 1,
    }
    assert read(json.dumps(raw)) == Sheet({(name, ("a",)): 2})
    assert read("{") == read("null") == Sheet()


def test_too_many_series_of_one_metric_are_counted_together() -> None:
    counted = Book()
    for number in range(MOST_SERIES + 50):
        counted.add(of.SPILLS, f"lane-{number}")
    found = counted.sheet().by(of.SPILLS, "lane")
    assert len(found) == MOST_SERIES + 1
    assert found[OTHER] == 50


def test_a_quantile_is_the_end_of_its_bucket() -> None:
    counted = Book()
    for _ in range(99):
        counted.observe(of.SIGNAL, 0.0025, "scout")
    counted.observe(of.SIGNAL, 99, "scout")
    sheet = counted.sheet()
    assert sheet.quantile(of.SIGNAL, 0.95, signal="scout") == 0.003
    assert sheet.quantile(of.SIGNAL, 1, signal="scout") == of.SHORT[-1]
    assert sheet.quantile(of.SIGNAL, 0.5, signal="context") is None


def test_a_histogram_is_shown_with_buckets_that_contain_each_other() -> None:
    lines = exposed(book("scout", "scout")).decode().splitlines()
    name = of.SIGNAL.name
    assert f'{name}_bucket{{le="0.001",signal="scout"}} 0.0' in lines
    assert f'{name}_bucket{{le="0.002",signal="scout"}} 2.0' in lines
    assert f'{name}_bucket{{le="+Inf",signal="scout"}} 2.0' in lines
    assert f'{name}_sum{{signal="scout"}} 0.003' in lines


def test_long_ended_routers_are_added_up_and_one_that_comes_back_is_told(tmp_path: Path) -> None:
    store = SnapshotStore(state.open_database(f"sqlite:///{tmp_path}/state.db"))
    store.write("one", book("a"), 0, new=True)
    store.write("two", book("a", "b"), 0, new=True)
    found = store.write("three", book("b"), FOLD_MS + 1, new=True)
    assert found is not None
    assert found.keys() == {"three", ENDED}
    assert found[ENDED].sheet.by(of.SPILLS, "lane") == {"a": 2, "b": 1}
    assert store.write("two", book("a", "b"), FOLD_MS + 2, new=False) is None
    store.write("four", book("b"), 3 * FOLD_MS, new=True)
    again = store.write("four", book("b"), 3 * FOLD_MS, new=False)
    assert again is not None
    assert again[ENDED].sheet.by(of.SPILLS, "lane") == {"a": 2, "b": 2}
    store.close()
