"""Generated cases repeat on every machine; only the nightly run looks for new ones."""

from hypothesis import settings

from tests.support.nightly import NIGHTLY

settings.register_profile("pointsman", derandomize=not NIGHTLY, database=None, print_blob=True)
settings.load_profile("pointsman")
