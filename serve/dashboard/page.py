"""The page: one document without data. Its own script and style are all it may load or run."""

import base64
import hashlib
from importlib.resources import files

from starlette.responses import HTMLResponse


def response() -> HTMLResponse:
    """The page, and headers that forbid everything it does not need."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


def _source(name: str) -> str:
    return files(__package__ or "serve.dashboard").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_SCRIPT, _STYLE = _source("page.js"), _source("page.css")
_PAGE = _source("page.html").replace("/* style */", _STYLE).replace("/* script */", _SCRIPT)
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
