"""The sensitivity signal: how far the content of a request may travel.

Knows text patterns and checksums. Does not know lanes, keys or what the class is used for.
"""

from serve.signals.sensitivity.own import Own
from serve.signals.sensitivity.scan import read

__all__ = ["Own", "read"]
