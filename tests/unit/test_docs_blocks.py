"""No block of the documents is left out: each is of a kind that a test reads, and reads as what it says it is."""

import ast
import json
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT, Block, blocks

RUN = {
    "yaml": "tests/unit/test_docs.py accepts it with the model that it is for",
    "console": "tests/unit/test_docs.py knows its commands and flags",
    "python": "tests/http/test_docs_clients.py runs it",
    "py": "tests/http/test_clients.py plays what these clients send",
    "sh": "read by a shell below",
    "json": "read below",
    "toml": "read below",
}
PICTURES = {
    "how-a-request-is-routed.md",
    "streaming.md",
    "reload.md",
}  # a drawing, the wire, a log: no language


def of(*kinds: str) -> list[object]:
    found = [block for block in blocks() if block.kind in kinds]
    return [pytest.param(block, id=f"{block.page.stem}-{block.line}") for block in found]


def test_every_block_is_of_a_kind_that_a_test_reads() -> None:
    unknown = Counter(block.kind or block.page.name for block in blocks() if block.kind not in RUN)
    assert set(unknown) <= PICTURES
    assert all(count == 1 for count in unknown.values())


def test_no_yaml_hides_in_an_indented_block() -> None:
    """Only what is fenced says its language, and is read."""
    pages = {block.page for block in blocks()} | {*(ROOT / "docs").rglob("*.md")}
    hidden = [p.name for p in pages if re.search(r"(?m)^\n {4}\w+:\n {6,}\w+:", p.read_text("utf-8"))]
    assert hidden == []


def test_a_page_with_python_is_one_whose_python_is_run() -> None:
    """docs/reviews.md shows a part of what tests/http/test_reviews.py does with the SDK."""
    pages = {block.page.relative_to(ROOT).as_posix() for block in blocks() if block.kind in ("python", "py")}
    clients = {f"docs/clients{part}.md" for part in ("", "-anthropic", "-tried")}
    assert pages == {"README.md", "docs/reviews.md"} | clients


@pytest.mark.parametrize("block", of("python", "py"))
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize("block", of("toml"))
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", of("sh", "console"))
def test_a_shell_can_read_it(block: Block) -> None:
    """Of a console only what is typed."""
    commands = typed(block.text) if block.kind == "console" else [block.text]
    assert commands, "a console shows what is typed after `$ `"
    assert [one for one in commands if not reads(one)] == []


def typed(console: str) -> list[str]:
    """What stands after `$ `, with the lines that a backslash or an open quote leads on to."""
    found = []
    for part in re.split(r"(?m)^\$ ", console)[1:]:
        lines = part.splitlines()
        parts = ("\n".join(lines[:end]) for end in range(1, len(lines) + 1))
        found.append(next((one for one in parts if reads(one)), lines[0]))
    return found


def reads(command: str) -> bool:
    """Whether a shell finds it whole. It runs nothing."""
    done = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, timeout=60)
    return (done.returncode, done.stderr) == (0, "") and not command.endswith("\\")


@pytest.mark.parametrize(
    "page", ["docs/operations.md", "docs/scaling.md", "bench/README.md", "k8s/README.md"]
)
def test_a_shell_can_read_what_is_indented(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    lines = [line for line in re.findall(r"(?m)^ {4}(\S.*(?:\\\n.*)?)$", text) if "─" not in line]
    assert lines or page == "k8s/README.md"
    assert reads("\n".join(lines))


@pytest.mark.parametrize("picture", ["dashboard.png", "graph.svg"])
def test_the_readme_shows_the_dashboard_and_the_graph(picture: str) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"](docs/{picture})" in readme
    assert (ROOT / "docs" / picture).stat().st_size > 1000
    assert len(readme.splitlines()) < 150, "it stays short"


def test_every_link_of_a_page_leads_somewhere() -> None:
    broken = [f"{page.name}: {link}" for page, link in _links() if not _there(page, link)]
    assert broken == []


def _links() -> list[tuple[Path, str]]:
    pages = {block.page for block in blocks()} | {*(ROOT / "docs").rglob("*.md")}
    text = {
        page: re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL) for page in pages
    }
    return [(page, link) for page in sorted(pages) for link in re.findall(r"\]\(([^)\s]+)\)", text[page])]


def _there(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    """As GitHub and MkDocs make them of headings."""
    heads = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head) for head in heads]
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in plain}
