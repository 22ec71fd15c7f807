"""`python -m bench.quality SUBJECT --data DIR [--json OUT]`: one subject per command. Measures nothing itself."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.quality import complexity, constraints, latency, routing, scan_time, sensitivity, task, tools
from bench.quality.cases import DataUnreadable

_PLAIN = {
    "tools": (tools.run, "what the verdict makes of recorded tool calls (bfcl_* sets)"),
    "scan-time": (scan_time.run, "the CPU time of the sensitivity signal, hostile inputs included"),
    "constraints": (constraints.run, "how well strict demands are counted"),
    "complexity": (complexity.run, "how often difficulty is judged as labelled"),
    "task": (task.run, "how often the type of task is named as labelled"),
    "latency": (latency.run, "CPU time of a decision at 512 tokens"),
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when something was measured, 1 when the data cannot be read or holds no case."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    console = Console()
    try:
        if options.subject == "routing":
            return routing.run(options.data, options.pairs, options.json, options.config, console)
        if options.subject in _PLAIN:
            return _PLAIN[options.subject][0](options.data, options.json, console)
        return sensitivity.run(options.data, options.json, options.part, console)
    except DataUnreadable as error:
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
    for name, (_, text) in _PLAIN.items():
        _files(subjects.add_parser(name, help=text))
    return parser.parse_args(arguments)


def _add_routing(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    parser.add_argument("--pairs", type=Path, help="a YAML list of pairs; without it the shipped one")
    parser.add_argument("--config", type=Path, help="whose rules decide the lane (for `same lane`)")


def _files(subject: argparse.ArgumentParser) -> None:
    help_text = "a folder of sets, or one set, of *.jsonl[.gz] files"
    subject.add_argument("--data", type=Path, required=True, help=help_text)
    subject.add_argument("--json", type=Path, help="write the results to this file too")


if __name__ == "__main__":
    sys.exit(main())
