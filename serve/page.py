"""A page of ours: one document without data. Its own script and style are all it may load or run."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from starlette.responses import HTMLResponse


def response(package: str) -> HTMLResponse:
    """The page of a package that has `page.html`, `page.js` and `page.css`, and headers that forbid the rest."""
    text, headers = _built(package)
    return HTMLResponse(text, headers=headers)


@cache
def _built(package: str) -> tuple[str, dict[str, str]]:
    html, script, style = (_source(package, f"page.{kind}") for kind in ("html", "js", "css"))
    page = html.replace("/* style */", style).replace("/* script */", script)
    return page, {
        "content-security-policy": (
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }


def _source(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
