"""Makes the calibration from the results that are there: `python -m bench.simulate.measured --traces DIR`.

What no result holds is assumed, and its `source` begins with ASSUMED.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench.load import arrivals
from bench.machine import ROOT
from bench.simulate.calibration import Calibration, fitted, quantiles

RESULTS = ROOT / "bench" / "results"
BATCH = 256
"""Most entries of one commit: `AT_ONCE` of serve/ledger/desk.py."""
AT_ONCE = 64
NO_GPU = {
    "source": "ASSUMED, no GPU was measured: an 8B model on one current data-centre GPU, 64 streams. "
    "Put in what `python -m bench.engine` measures on yours",
    "slots": 64,
    "first_token_s": 0.03,
    "prefill_s_per_token": 0.0001,
    "gap_alone_s": 0.01,
    "gap_full_s": 0.025,
    "usd_per_hour": 2.5,
}
PROXY = {"source": "ASSUMED: HAProxy, one process, was never the slowest part here", "per_s": 10_000}
CLOUD = {
    "source": "ASSUMED times; prices of gpt-5.4-mini in configs/prices.yaml, placeholders themselves",
    "first_token_s": 0.6,
    "gap_s": 0.012,
    "input_usd": 0.75,
    "output_usd": 4.5,
}


def main() -> None:
    """Write bench/results/calibration.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate.measured")
    parser.add_argument(
        "--traces", type=Path, required=True, help="folder with traces_azure2023/conv.jsonl.gz"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "calibration.json")
    options = parser.parse_args()
    found = {
        "engines": {"gpu-assumed": NO_GPU} | _measured_engine(),
        "router": _router(),
        "proxy": PROXY,
        "ledger": _ledger(),
        "audit": _audit(),
        "cloud": CLOUD,
        "lengths": _lengths(options.traces / "traces_azure2023" / "conv.jsonl.gz"),
    }
    Calibration.model_validate(found)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return result


def _measured_engine() -> dict[str, dict[str, Any]]:
    """What bench.engine measured, if it did."""
    if not (RESULTS / "engine.json").is_file():
        return {}
    found = _read("engine.json")["found"]
    alone, full = (found[f"{n} at a time"]["servers"]["pointsman"] for n in (1, 8))
    times = {
        "source": "bench/results/engine.json (python -m bench.engine: the default model on two busy cores), short "
        "prompts; seconds of a prompt's token ASSUMED",
        "slots": 8,
        "first_token_s": alone["first_token_s"]["p50"],
        "prefill_s_per_token": 0.002,
        "gap_alone_s": alone["between_tokens_s"]["p50"],
        "gap_full_s": full["between_tokens_s"]["p50"],
        "usd_per_hour": 0.04,
    }
    return {"cpu-0.5b": times}


def _router() -> dict[str, Any]:
    cells = _read("overhead-serve.json")["cells"]
    costs = [
        cells[f"{kind}, 0.3k tokens, c=16"]["pointsman"]["cpu_ms_per_request"]
        for kind in ("unary", "20 chunks")
    ]
    return {
        "source": "bench/results/overhead-serve.json (python -m bench.overhead): mean of unary and 20 chunks, 16 at a "
        "time, the whole process tree, CloudProxy and HAProxy included",
        "cpu_s": round(sum(costs) / len(costs) / 1000, 5),
    }


def _ledger() -> dict[str, Any]:
    rows = _read("ledger.json")["rows"]
    commit, entry = fitted(rows["1 at once"]["p50_ms"] / 1000, rows["64 at once"]["per_s"], AT_ONCE)
    source = (
        "bench/results/ledger.json (python -m bench.ledger): SQLite, seven accounts, one reserved and settled"
    )
    return {"source": source, "commit_s": commit, "entry_s": entry, "most": BATCH}


def _audit() -> dict[str, Any]:
    rows = {row["clients"]: row for row in _read("audit.json")["results"]}
    requests_per_s = rows[AT_ONCE]["records_per_s"] / 2
    commit, entry = fitted(rows[1]["wait_p50_ms"] / 1000, requests_per_s, AT_ONCE)
    source = "bench/results/audit.json (python -m bench.audit): SQLite, one writer, intent and outcome of a request"
    return {"source": source, "commit_s": commit, "entry_s": entry, "most": BATCH}


def _lengths(path: Path) -> dict[str, Any]:
    trace = arrivals.read(path)
    return {
        "source": "shared/data/traces_azure2023/conv.jsonl.gz (Azure, CC-BY 4.0): quantiles of 19,366 requests",
        "input": quantiles([arrival.input_tokens for arrival in trace]),
        "output": quantiles([arrival.output_tokens for arrival in trace]),
    }


if __name__ == "__main__":
    main()
