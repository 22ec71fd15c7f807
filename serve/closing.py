"""Close what was opened to the end, whoever waits for that and is cancelled meanwhile.

Knows tasks. Does not know what is closed.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

_UNDER_WAY: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks weakly


async def surely(closing: Coroutine[Any, Any, None]) -> None:
    """Run `closing` to its end. A cancellation is obeyed at once and does not cut it short."""
    task = asyncio.ensure_future(closing)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    await asyncio.shield(task)
