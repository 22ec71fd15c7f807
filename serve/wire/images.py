"""Images in requests: what may stand in one, by address or by value.

Reads the first bytes of an image that came by value; decodes no picture and fetches nothing.
"""

import base64
import re

MAX_URL_CHARS = 8192
MAX_DATA_URL_CHARS = 7_000_000  # five MiB of image in base64, what the strictest provider takes

_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_REMOTE = re.compile(r"https://[^/?#\s@\\]+([/?#][^\s\\]*)?", re.IGNORECASE)
_BEGINS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
_LOOKED_AT = 16
"""Characters of base64: twelve bytes, as many as the longest signature has."""


def address(value: str) -> str:
    """The address or data of an image, as it is. Raises ValueError for one that no lane may be given."""
    if value[:5].lower() == "data:":
        if len(value) > MAX_DATA_URL_CHARS:
            raise ValueError(f"an image may have at most {MAX_DATA_URL_CHARS:,} characters as a data: URL")
        if not (begins := _DATA.match(value)):
            raise ValueError("must be data:image/(png|jpeg|gif|webp);base64,...")
        media_type = begins[0].removeprefix("data:").removesuffix(";base64,")
        _check(media_type, value, begins.end())
    elif len(value) > MAX_URL_CHARS or not value.isascii() or not _REMOTE.fullmatch(value):
        raise ValueError(
            f"must be an https:// or data: URL, an https:// one of at most {MAX_URL_CHARS:,} characters"
        )
    return value


def data(media_type: str, value: str) -> str:
    """The base64 of an image of this media type, as it is. Raises ValueError for what is no such image."""
    if len(value) > MAX_DATA_URL_CHARS - 100:
        raise ValueError(f"an image may have at most {MAX_DATA_URL_CHARS - 100:,} characters of base64")
    _check(media_type, value, 0)
    return value


def _check(media_type: str, value: str, start: int) -> None:
    """Raises ValueError unless `value` is from `start` on base64 of what begins as images of this type do."""
    if not _BASE64.fullmatch(value, start) or (len(value) - start) % 4:
        raise ValueError("must be base64 without spaces or line breaks, padded with = to fours")
    if not _BEGINS[media_type].match(base64.b64decode(value[start : start + _LOOKED_AT])):
        raise ValueError(f"must be {media_type}: its first bytes are not those of such an image")
