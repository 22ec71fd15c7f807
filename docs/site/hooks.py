"""What mkdocs cannot do by itself: README as the first page, pages that may not be there, links into the repository."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
AWAY = re.compile(r"^([a-z]+:|/)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out that are not there, name every decision, and lose no page that the file does not know."""
    nav = _present(config.nav)
    others = sorted(path.name for path in DOCS.glob("*.md") if path.name not in str(nav))
    config.nav = [*nav, {"More": others}] if others else nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """README.md is the first page; pictures of bench/results stand beside the pages that show them."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text("utf-8")))
    for picture in sorted((ROOT / "bench" / "results").glob("*.svg")):
        files.append(File.generated(config, f"bench/results/{picture.name}", content=picture.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as GitHub has them become links of the site; what is not part of it is named as a path."""
    home = page.file.src_uri == "index.md"
    folder = "" if home else posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def mended(found: re.Match[str]) -> str:
        picture, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if AWAY.match(target):
            return found[0]
        place = posixpath.normpath(posixpath.join(folder, target))  # below the repository's root
        inside = place.removeprefix("docs/") if place.startswith("docs/") else place
        if place.startswith("docs/decisions") and not place.endswith(".md"):
            inside = "decisions/001-libraries.md"
        if files.get_file_from_path(inside) and (place.startswith("docs/") or picture):
            here = posixpath.dirname(page.file.src_uri)
            return f"{picture}[{text}]({posixpath.relpath(inside, here or '.')}{anchor})"
        return f"`{place}`" if text.strip("`") in place else f"{text} (`{place}`)"

    return LINK.sub(mended, markdown)


def _present(entries: list[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            found += [path.relative_to(DOCS).as_posix() for path in sorted((DOCS / entry).glob("*.md"))]
            continue
        ((title, value),) = entry.items()
        if isinstance(value, list):
            found.append({title: _present(value)})
        elif value == "index.md" or (DOCS / value).is_file():
            found.append(entry)
    return found
