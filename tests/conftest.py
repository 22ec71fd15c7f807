"""Generated cases repeat on every machine; only the nightly run looks for new ones. No test writes into your home."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

from tests.support.nightly import NIGHTLY

settings.register_profile("pointsman", derandomize=not NIGHTLY, database=None, print_blob=True)
settings.load_profile("pointsman")

# In every process that this run starts, too.
_STATE = tempfile.mkdtemp(prefix="pointsman-tests-")
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE
