"""The picture of one `bench.scaling` run. Does not measure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL, CLOUD, INK, FAINT = "#2a7f62", "#d98a29", "#24292f", "#8c959f"


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Load, replicas and requests under way over time, to an .svg or .png file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "pointsman"}
    )
    figure, panels = pyplot.subplots(
        3, 1, figsize=(9, 7.2), sharex=True, height_ratios=(3, 1.6, 2), layout="constrained"
    )
    _load(panels[0], result)
    _replicas(panels[1], result["samples"])
    _under_way(panels[2], result["samples"])
    panels[2].set_xlabel("seconds")
    panels[2].set_xlim(0, sum(result["settings"][name] for name in ("before_s", "during_s", "after_s")) - 1)
    _mark_steps(panels, result["settings"])
    figure.suptitle(_title(result), x=0.01, ha="left", fontsize=10.5, color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _load(axes: Any, result: Mapping[str, Any]) -> None:
    samples, settings = result["samples"], result["settings"]
    seconds = [sample["second"] for sample in samples]
    local, cloud = (smooth([sample[name] for sample in samples]) for name in ("local", "cloud"))
    axes.stackplot(
        seconds,
        local,
        cloud,
        colors=(LOCAL, CLOUD),
        alpha=0.85,
        labels=("answered by a local replica", "spilled to the cloud"),
    )
    calm, busy = (settings["capacity_per_s"] * settings[name] for name in ("base", "step"))
    up, down = settings["before_s"], settings["before_s"] + settings["during_s"]
    axes.plot(
        [0, up, up, down, down, seconds[-1]],
        [calm, calm, busy, busy, calm, calm],
        color=INK,
        linewidth=1.2,
        label="offered",
    )
    axes.set_ylim(0, busy * 1.45)
    for at, load in ((0, settings["base"]), (up, settings["step"]), (down, settings["base"])):
        axes.annotate(f"load {load:g}x", (at, 0.96), xycoords=("data", "axes fraction"), xytext=(4, 0),
                      textcoords="offset points", va="top", color=INK)  # fmt: skip
    axes.set_ylabel("requests a second\n(mean of 3 s)")
    axes.legend(loc="center left", frameon=False)


def _replicas(axes: Any, samples: list[Mapping[str, float]]) -> None:
    seconds = [sample["second"] for sample in samples]
    running = [sample["running"] for sample in samples]
    wanted = [sample["running"] + sample["starting"] for sample in samples]
    axes.fill_between(seconds, running, wanted, step="post", color=FAINT, alpha=0.45, label="starting")
    axes.fill_between(seconds, 0, running, step="post", color=LOCAL, alpha=0.25)
    axes.step(seconds, running, where="post", color=LOCAL, linewidth=1.6, label="running")
    axes.set_ylabel("replicas")
    axes.set_yticks(range(int(max(wanted)) + 1))
    axes.set_ylim(0, max(wanted) + 1.4)
    axes.legend(loc="upper right", frameon=False, ncols=2)


def _under_way(axes: Any, samples: list[Mapping[str, float]]) -> None:
    seconds = [sample["second"] for sample in samples]
    axes.step(
        seconds, [sample["in_flight_local"] for sample in samples], where="post", color=LOCAL, label="local"
    )
    axes.step(
        seconds, [sample["in_flight_cloud"] for sample in samples], where="post", color=CLOUD, label="cloud"
    )
    axes.set_ylabel("requests under way")
    axes.set_ylim(bottom=0)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right", frameon=False, ncols=2)


def _mark_steps(panels: Any, settings: Mapping[str, Any]) -> None:
    for at in (settings["before_s"], settings["before_s"] + settings["during_s"]):
        for axes in panels:
            axes.axvline(at, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))


def _title(result: Mapping[str, Any]) -> str:
    found, settings = result["summary"], result["settings"]
    if found["first_new_replica_s"] is None:
        return f"Load of {settings['step']:g} replicas (policy {settings['policy']}): no new replica came"
    return (
        f"Load of {settings['step']:g} replicas ({settings['policy']}): overflow after {found['first_spill_s']} s, "
        f"a new replica serves after {found['first_new_replica_s']} s,\n"
        f"the last spilled request after {found['last_spill_s']} s; {found['failed']} of {found['requests']} failed"
    )


def smooth(values: list[float]) -> list[float]:
    """Each value as the mean of itself and its neighbours."""
    windows = (values[max(0, at - 1) : at + 2] for at in range(len(values)))
    return [sum(window) / len(window) for window in windows]
