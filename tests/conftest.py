"""Generated cases repeat on every machine; only the nightly run looks for new ones.

Whatever is started without a database of its own keeps its state in a folder of this test run, never in the user's.
"""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

from tests.support.nightly import NIGHTLY

settings.register_profile("pointsman", derandomize=not NIGHTLY, database=None, print_blob=True)
settings.load_profile("pointsman")

_STATE = tempfile.mkdtemp(prefix="pointsman-tests-")
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE
