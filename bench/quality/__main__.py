"""`python -m bench.quality SUBJECT --data DIR [--json OUT]`: one subject per command. Measures nothing itself."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.quality import (
    complexity,
    constraints,
    latency,
    live,
    preamble,
    routing,
    scan_time,
    second_opinion,
    sensitivity,
    sureness,
    task,
    tools,
    tools_live,
)
from bench.quality.cases import DataUnreadable

_PLAIN = {
    "scan-time": (scan_time.run, "the CPU time of the sensitivity signal, hostile inputs included"),
    "constraints": (constraints.run, "how well strict demands are counted"),
    "complexity": (complexity.run, "how often difficulty is judged as labelled"),
    "task": (task.run, "how often the type of task is named as labelled"),
    "latency": (latency.run, "CPU time of a decision at 512 tokens"),
}

# Columns of a table that goes to a file or another program; no figure may be cut off there.
_NO_TERMINAL = 200
_LIVE = {"tools": tools_live.run, "confidence": sureness.run, "preambles": preamble.run}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when something was measured, 1 when the data cannot be read or holds no case."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    options.argv = arguments
    console = Console()
    if not console.is_terminal:
        console = Console(width=_NO_TERMINAL)
    try:
        if options.subject == "routing" and options.scout:
            return second_opinion.run(
                options.data,
                options.pairs,
                options.json,
                options.config,
                options.scout,
                options.sample,
                options.labels,
                console,
            )
        if options.subject == "routing":
            return routing.run(options.data, options.pairs, options.json, options.config, console)
        if options.subject == "tools" and not options.live:
            return tools.run(options.data, options.json, console)
        if options.subject in _LIVE:
            return _LIVE[options.subject](options, console)
        if options.subject in _PLAIN:
            return _PLAIN[options.subject][0](options.data, options.json, console)
        return sensitivity.run(options.data, options.json, options.part, console)
    except (DataUnreadable, live.Unanswered) as error:
        Console(stderr=True).print(str(error), markup=False, style="red", soft_wrap=True)
        return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    subjects = parser.add_subparsers(required=True, metavar="SUBJECT", dest="subject")
    one = subjects.add_parser(
        "sensitivity", help="what the sensitivity signal finds and what it flags for nothing"
    )
    _files(one)
    one.add_argument(
        "--part",
        choices=("all", "dev", "held-out"),
        default="all",
        help="half of the examples, split by a hash of template or text: look at dev, report held-out",
    )
    _add_routing(subjects.add_parser("routing", help="what routing by the policy score saves and keeps"))
    _add_tools(subjects.add_parser("tools", help="what the verdict makes of tool calls (bfcl_* sets)"))
    _add_live(subjects)
    for name, (_, text) in _PLAIN.items():
        _files(subjects.add_parser(name, help=text))
    return parser.parse_args(arguments)


def _add_routing(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    parser.add_argument("--pairs", type=Path, help="a YAML list of pairs; without it the shipped one")
    parser.add_argument("--config", type=Path, help="whose rules decide the lane (for `same lane`)")
    parser.add_argument(
        "--scout",
        choices=("encoder", "causal_lm", "off"),
        help="instead: how often this back end is asked on real prompts, and what its opinion adds",
    )
    parser.add_argument("--sample", type=int, default=400, help="prompts of each pair, with --scout")
    text = "with --scout causal_lm: keeps what the model has read in this .npz file, and reads nothing twice"
    parser.add_argument("--labels", type=Path, metavar="FILE", help=text)


def _add_live(subjects: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = subjects.add_parser("confidence", help="whether a real model is right where it is sure")
    _files(one)
    live.options(one, "local-general")
    one.add_argument("--wanted", type=float, default=0.9, help="share right of what is kept (0.9)")
    one = subjects.add_parser("preambles", help="what preambles and sampling change for a real model")
    _files(one)
    live.options(one, "local-general")
    preamble.options(one)


def _add_tools(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    parser.add_argument("--live", action="store_true", help="ask a real model, instead of recorded outputs")
    parser.add_argument("--tool-choice", choices=("auto", "required"), default="auto", help="with --live")
    text = "with --live: ask nothing, and report on the tasks whose answers are in --answers"
    parser.add_argument("--kept", action="store_true", help=text)
    text = "with --live: a model whose recorded outputs answer what is handed on"
    parser.add_argument("--next", metavar="MODEL", help=text)
    live.options(parser, "local-tools")


def _files(subject: argparse.ArgumentParser) -> None:
    help_text = "a folder of sets, or one set, of *.jsonl[.gz] files"
    subject.add_argument("--data", type=Path, required=True, help=help_text)
    subject.add_argument("--json", type=Path, help="write the results to this file too")


if __name__ == "__main__":
    sys.exit(main())
