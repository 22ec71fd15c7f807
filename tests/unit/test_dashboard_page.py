"""The dashboard's page: nothing from outside, nothing as markup, and numbers as people read them."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from serve import page

TEXT = bytes(page.response("serve.dashboard").body).decode()
HEADERS = page.response("serve.dashboard").headers


def inside(tag: str) -> str:
    (found,) = re.findall(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("tag", ["script", "style"])
def test_only_the_pages_own_script_and_style_are_allowed(tag: str) -> None:
    digest = base64.b64encode(hashlib.sha256(inside(tag).encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in HEADERS["content-security-policy"].split(";"))
    assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"


def test_nothing_in_it_makes_markup_of_a_text_or_comes_from_elsewhere() -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert word not in TEXT
    assert not re.findall(r"\s(?:src|href|style|on[a-z]+)=", TEXT)
    assert "://" not in TEXT
    assert "localStorage" not in TEXT


@pytest.mark.parametrize(
    ("expression", "seen"),
    [
        ("usd(0)", "$0.00"),
        ("usd(1234)", "$0.0012"),
        ("usd(2500000)", "$2.50"),
        ("usd(-1234)", "\u2212$0.0012"),
        ("usd(42.4)", "$0.000042"),
        ("interval({low: 1200, high: 3400})", "$0.0012 to $0.0034"),
        ("interval({low: null, high: null})", "\u2013"),
        ("share(1, 3)", "33.3%"),
        ("share(0, 0)", "\u2013"),
        ("share(4, 4)", "100%"),
        ("milliseconds(null)", "\u2013"),
        ("milliseconds(1.25)", "1.3 ms"),
        ("milliseconds(80)", "80 ms"),
        ("milliseconds(12345)", "12.3 s"),
        ("signed(-0.0125)", "\u22120.013"),
        ("signed(0.5)", "+0.500"),
        ("short(9999)", "9999"),
        ("short(12345)", "12.3k"),
        ("short(2000000)", "2M"),
    ],
)
def test_numbers_are_written_for_people(expression: str, seen: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the page's script")
    code = f"{inside('script')}\nconsole.log(JSON.stringify({expression}))"
    done = subprocess.run([node, "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == seen
