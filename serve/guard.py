"""Wait until one process ends, then end another one: `python -S -E guard.py PIDFD_OF_THE_ONE PIDFD_OF_THE_OTHER`.

Started beside every HAProxy by `serve/haproxy.py`, so it imports nothing that takes time or memory.
"""

import select
import signal
import sys


def main(one: int, other: int) -> None:
    """Return when either has ended; `other` is told to end when `one` has. Both are pidfds."""
    waiting = select.poll()
    for pidfd in (one, other):
        waiting.register(pidfd, select.POLLIN)
    ended = {pidfd for pidfd, _ in waiting.poll()}
    if other not in ended:
        signal.pidfd_send_signal(other, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
