"""The real ingress in a process of its own, without Ray: what a memory measurement looks at.

    python -m bench.ingress CONFIG    # prints its URL, then for each line of standard input what it holds

Ends when standard input ends, so that it never outlives the run that started it.
"""

import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any

from serve.config import load
from tests.support.serving import serving


def main(path: Path) -> None:
    """Serve until standard input ends."""
    box: dict[str, Any] = {}
    with serving(load(path), box) as url:
        print(url, flush=True)
        for _ in sys.stdin:
            held = {"tasks": len(asyncio.all_tasks(box["loop"])), "objects": len(gc.get_objects())}
            print(json.dumps(held), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
