"""Generated cases repeat on every machine; only the nightly run looks for new ones. No test writes into your home."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.nightly import NIGHTLY

settings.register_profile("pointsman", derandomize=not NIGHTLY, database=None, print_blob=True)
settings.load_profile("pointsman")


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The default databases of this run, and of every process it starts, are in a folder of the run."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
