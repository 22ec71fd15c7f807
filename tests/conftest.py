"""Generated cases repeat on every machine; only the nightly run looks for new ones. No test writes into your home."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.support.nightly import NIGHTLY

settings.register_profile(
    "pointsman",
    derandomize=not NIGHTLY,
    database=None,
    print_blob=True,
    deadline=None,  # no test fails because the machine was slow
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pointsman")

# In every process that this run starts, too.
_SHM = Path("/dev/shm")  # noqa: S108 - mkdtemp makes it privately; the disk of a test machine may stall for seconds
_STATE = tempfile.mkdtemp(prefix="pointsman-tests-", dir=_SHM if _SHM.is_dir() else None)
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE
# Everything here is on loopback, and no cluster of somebody else's is joined.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
os.environ.pop("RAY_ADDRESS", None)


def pytest_collection_finish() -> None:
    """A full collection of the 760,000 objects that are there by now would stop every thread for 1 to 6 s."""
    gc.collect()
    gc.freeze()
