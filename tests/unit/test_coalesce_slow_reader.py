"""A reader slower than the source loses nothing."""

import asyncio
from collections.abc import AsyncIterator

from serve.coalesce import coalesce


async def test_an_item_that_arrives_while_the_reader_is_busy_is_kept() -> None:
    async def source() -> AsyncIterator[str]:
        for i in range(40):
            await asyncio.sleep(0.002)
            yield str(i)

    seen: list[str] = []
    async for bundle in coalesce(source(), flush_s=0.001, most=3):
        await asyncio.sleep(0.005)
        seen += bundle
    assert seen == [str(i) for i in range(40)]
