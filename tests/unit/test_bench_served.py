"""bench.served: what the histograms of one page of metrics add up to."""

from bench.served import _between, sums

PAGE = """# HELP pointsman_stage_seconds Time of one stage.
# TYPE pointsman_stage_seconds histogram
pointsman_stage_seconds_bucket{stage="hop",le="+Inf"} 4
pointsman_stage_seconds_count{stage="hop"} 4
pointsman_stage_seconds_sum{stage="hop"} 0.02
# HELP pointsman_signal_seconds Time of one signal.
# TYPE pointsman_signal_seconds histogram
pointsman_signal_seconds_bucket{signal="context",le="+Inf"} 2
pointsman_signal_seconds_count{signal="context"} 2
pointsman_signal_seconds_sum{signal="context"} 0.001
# HELP other_seconds Not ours.
# TYPE other_seconds histogram
other_seconds_bucket{stage="hop",le="+Inf"} 9
other_seconds_count{stage="hop"} 9
other_seconds_sum{stage="hop"} 9
"""


def test_stages_and_signals_are_summed_and_others_left_out() -> None:
    assert sums(PAGE) == {"hop": (4.0, 0.02), "signal context": (2.0, 0.001)}


def test_a_burst_is_what_came_between_two_pages() -> None:
    rows = _between({"hop": (1.0, 0.005)}, {"hop": (4.0, 0.02), "view": (3.0, 0.3)}, requests=3)
    assert rows == {"view": {"times": 1.0, "ms": 100.0}, "hop": {"times": 1.0, "ms": 5.0}}
    assert _between({"hop": (4.0, 0.02)}, {"hop": (4.0, 0.02)}, requests=3) == {}
