"""The page for reviewers: nothing from outside, nothing as markup, and texts shown as a client gets them."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from serve import page

TEXT = bytes(page.response("serve.reviews").body).decode()
HEADERS = page.response("serve.reviews").headers


def inside(tag: str) -> str:
    (found,) = re.findall(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("tag", ["script", "style"])
def test_only_the_pages_own_script_and_style_are_allowed(tag: str) -> None:
    digest = base64.b64encode(hashlib.sha256(inside(tag).encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in HEADERS["content-security-policy"].split(";"))
    assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"


def test_nothing_in_it_makes_markup_of_a_text_or_comes_from_elsewhere() -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert word not in TEXT
    assert not re.findall(r"\s(?:src|href|style|on[a-z]+)=", TEXT)
    assert "://" not in TEXT
    assert "localStorage" not in TEXT


def run(expression: str) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the page's script")
    done = subprocess.run(
        [node, "-e", f"{inside('script')}\nconsole.log(JSON.stringify({expression}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("Zürich, 東京 <b>&amp;</b>\n\tcode", "Zürich, 東京 <b>&amp;</b>\n\tcode", id="plain"),
        pytest.param("❤️ and 👩‍👩‍👧", "❤️ and 👩‍👩‍👧", id="emoji"),
        pytest.param("a\u202eb\u2066c", "a[U+202E]b[U+2066]c", id="turned-around"),
        pytest.param("a\u200bb\u2060c\ufeff", "a[U+200B]b[U+2060]c[U+FEFF]", id="no-width"),
        pytest.param("a\U000e0041\ufe0fb", "a[U+E0041][U+FE0F]b", id="tags-and-selectors"),
        pytest.param("a\x00\x1b[2Jb", "a[U+0000][U+001B][2Jb", id="control"),
    ],
)
def test_what_hides_or_reorders_text_is_made_visible(text: str, seen: str) -> None:
    assert run(f"visible({json.dumps(text)})") == seen


def test_everything_of_an_answer_is_shown() -> None:
    message = {
        "content": "words",
        "refusal": "no",
        "reasoning_content": "why",
        "tool_calls": [{"function": {"name": "pay", "arguments": '{"eur": 5}'}}],
    }
    shown = run(f"parts({json.dumps({'message': message})})")
    assert shown == [
        ["reasoning", "why"],
        ["text", "words"],
        ["refusal", "no"],
        ["call of pay", '{"eur": 5}'],
    ]
    assert run('parts({"message": {}})') == [["text", "(empty)"]]
