"""`python -m bench.quality SUBJECT --data DIR [--json OUT]`: one subject per command. Measures nothing itself."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.quality import scan_time, sensitivity, tools
from bench.quality.cases import DataUnreadable


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when something was measured, 1 when the data cannot be read or holds no case."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    console = Console()
    try:
        if options.subject == "tools":
            return tools.run(options.data, options.json, console)
        if options.subject == "scan-time":
            return scan_time.run(options.data, options.json, console)
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
    _files(one, "a folder of sets, or one set, of *.jsonl[.gz] files")
    one.add_argument(
        "--part",
        choices=("all", "dev", "held-out"),
        default="all",
        help="half of the examples, split by a hash of template or text: look at dev, report held-out",
    )
    two = subjects.add_parser("tools", help="what the verdict makes of recorded tool calls")
    _files(two, "a folder that holds bfcl_* sets")
    three = subjects.add_parser(
        "scan-time", help="the CPU time of the sensitivity signal, hostile inputs included"
    )
    _files(three, "a folder of sets: its public prompts are read")
    return parser.parse_args(arguments)


def _files(subject: argparse.ArgumentParser, data: str) -> None:
    subject.add_argument("--data", type=Path, required=True, help=data)
    subject.add_argument("--json", type=Path, help="write the results to this file too")


if __name__ == "__main__":
    sys.exit(main())
