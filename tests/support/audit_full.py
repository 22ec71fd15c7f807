"""Fill the file system that the audit log is on, and empty it again; prints what the log says of it."""

import asyncio
import sys
import time
from pathlib import Path

from serve.audit import rows, verify
from serve.audit.config import AuditConfig
from serve.audit.records import Draft, Opened
from serve.audit.writer import Writer

WITHIN_S = 60.0


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        size = 65_536
        while size:
            try:
                out.write(b"x" * size)
            except OSError:
                size //= 2


async def main(folder: Path) -> None:
    url, ballast = f"sqlite:///{folder / 'state.db'}", folder / "ballast"
    writer = Writer(url, AuditConfig(write_timeout_s=WITHIN_S))
    assert await writer.write(Draft.of(Opened(version="1"), "dec_0")).fault() is None
    fill(ballast)
    end = time.monotonic() + WITHIN_S
    while (fault := await writer.write(Draft.of(Opened(version="1"), "dec_1")).fault()) is None:
        assert time.monotonic() < end, "a full disk is not noticed"
    print(f"full: {fault}")
    ballast.unlink()
    while writer.fault is not None:
        assert time.monotonic() < end + WITHIN_S, "it does not come back"
        await asyncio.sleep(0.05)
    assert await writer.write(Draft.of(Opened(version="1"), "dec_2")).fault() is None
    print("well again")
    await asyncio.to_thread(writer.close)
    with rows.reading(url) as connection:
        print("whole" if verify.log(connection).is_good else "not whole")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
