"""What the documents show is true: every YAML block is accepted, every command and flag in them exists."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from serve import hot, yaml_file
from serve.cli import app
from serve.config import checked, raw
from serve.config.reference import COMMAND, markdown, sections
from serve.errors import ConfigError
from serve.policies.golden import Cases
from serve.routing_table import RoutingTable

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / folder / "README.md" for folder in (".", "k8s", "bench")),
    ]
)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
BASE = ROOT / "configs" / "cpu.yaml"
SHELL = ("", "console", "bash", "sh")
STARTS = re.compile(r"(?:^|[\s(|`])(pointsman|\.?/?(?:\S*/)?python -m|make)\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    text: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        content = page.read_text("utf-8")
        for found in FENCE.finditer(content):
            line = content[: found.start()].count("\n") + 1
            yield Block(page, line, found[2], re.sub(rf"(?m)^{found[1]}", "", found[3]))


YAML = [
    pytest.param(block, id=f"{block.page.stem}-{block.line}")
    for block in blocks()
    if block.kind in ("yaml", "yml")
]


# --- YAML --------------------------------------------------------------------------------------------------------


@cache
def base() -> dict[str, Any]:
    values = raw(yaml_file.read(BASE), BASE)
    assert isinstance(values, dict)
    return values


def merged(old: Any, new: Any) -> Any:
    """`new` laid over `old`: mappings key by key, lists of known names item by item, all else replaced.

    Rules are replaced as a whole.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {k: v if k == "rules" else merged(old.get(k), v) for k, v in new.items()}
    if _named(old) and _named(new) and {one["name"] for one in new} <= {one["name"] for one in old}:
        given = {one["name"]: one for one in new}
        return [merged(one, given.get(one["name"], {})) for one in old]
    return new


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value)


def accept(values: Any, source: str) -> None:
    """Check a block with the model that it is for. Raises ConfigError, pydantic's ValidationError, AssertionError."""
    assert isinstance(values, dict), "a block of YAML is a mapping"
    if "cases" in values:
        Cases.model_validate(values)
    elif "tasks" in values:
        whole = yaml_file.parse((ROOT / "configs" / "routing.yaml").read_bytes(), "configs/routing.yaml")
        RoutingTable.model_validate(merged(whole, values))
    elif "deployments" in values:
        config = checked(base(), BASE)
        for deployment in values["deployments"]:
            hot.applied(config, deployment["user_config"])
    elif _only_new_lanes(values):
        checked(base() | {"lanes": base()["lanes"] + values["lanes"]}, source)
    else:
        checked(merged(base(), values), source)


def _only_new_lanes(values: dict[str, Any]) -> bool:
    """Lanes and nothing else, all of names that no rule knows: they stand beside those that there are."""
    known = {lane["name"] for lane in base()["lanes"]}
    return set(values) == {"lanes"} and not known & {lane["name"] for lane in values["lanes"]}


@pytest.mark.parametrize("block", YAML)
def test_every_yaml_block_is_accepted(block: Block) -> None:
    text = re.sub(r"(?m)^ *\.\.\.$", "", block.text)  # "and so on"
    source = f"{block.page.name}:{block.line}"
    accept(yaml_file.parse(text.encode(), source), source)


@pytest.mark.parametrize(
    "values",
    [
        {"dispatch": {"deadlin_s": 3}},
        {"lanes": [{"name": "cloud-openai", "enabeld": False}]},
        {"policy": {"locations": {"confidential": ["global"]}}},
        {"deployments": [{"user_config": {"dispatch": {"deadlin_s": 3}}}]},
        {"cases": [{"name": "x", "request": "y", "expect": {}}]},
        {"tasks": {"reasonin": {"tier": 1}}},
    ],
)
def test_a_wrong_block_would_be_noticed(values: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValueError), match=r"."):
        accept(values, "a test")


def contained(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and contained(value, whole[key]) for key, value in part.items())
    return bool(part == whole)


def test_the_cookbook_shows_what_the_shipped_files_say() -> None:
    page = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
    shown = 0
    for chapter in page.split("\n## ")[1:]:
        for found in FENCE.finditer(chapter):
            if found[2] == "yaml":
                name = re.findall(r"`(configs/policies/\w+\.yaml)`", chapter)[0]
                whole = yaml_file.parse((ROOT / name).read_bytes(), name)
                assert contained(yaml_file.parse(found[3].encode(), "cookbook"), whole), name
                shown += 1
    assert shown >= 4


# --- commands ----------------------------------------------------------------------------------------------------


def lines() -> Iterator[tuple[str, str]]:
    """(place, command line) of everything in the pages that looks like one of our commands."""
    for page in PAGES:
        content = page.read_text("utf-8")
        texts = [
            line for block in FENCE.findall(content) if block[1] in SHELL for line in block[2].splitlines()
        ]
        texts += [line for line in content.splitlines() if line.startswith("       ")]  # indented code
        prose = FENCE.sub("", content)
        texts += INLINE.findall(prose)
        for text in texts:
            for found in STARTS.finditer(text):
                yield page.relative_to(ROOT).as_posix(), text[found.start(1) :]


def words(line: str) -> list[str]:
    """The words of a command up to where another one, a comment or a picture begins."""
    line = re.split(r"\s#|\s\||;|&&|\s>|[`→─]", line)[0].replace("[", " ").replace("]", " ")
    line = re.sub(r"\)\s*$", "", line)
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def faults(line: str) -> list[str]:
    """What of a command line does not exist."""
    given = words(line)
    if given[0] == "make":
        return _of_make(given[1:])
    if given[0] == "pointsman":
        return _of_ours(given[1:])
    return _of_python(given[2:])


def _of_ours(given: list[str]) -> list[str]:
    command: Any = typer.main.get_command(app)  # of a click that typer brings with it
    while given and (commands := getattr(command, "commands", None)) and not given[0].startswith("-"):
        name = given.pop(0)
        if name not in commands:
            return [f"no command {name!r}"] if re.fullmatch(r"[a-z]+", name) else []
        command = commands[name]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {
        "--help"
    }
    return [word for word in given if word.startswith("--") and word.partition("=")[0] not in known]


def _of_python(given: list[str]) -> list[str]:
    module = given[0]
    if module.partition(".")[0] not in ("bench", "models", "serve", "tests"):
        return []
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return [f"no module {module}"]
    place = Path(found.origin)
    files = place.parent.rglob("*.py") if place.name == "__init__.py" else [place]
    # Flags may be made elsewhere in the folder; and typer makes them of names.
    source = "\n".join(file.read_text("utf-8") for file in [*files, *ROOT.joinpath("bench").glob("*.py")])
    flags = [word.partition("=")[0] for word in given[1:] if word.startswith("--")]
    return [flag for flag in flags if f'"{flag}"' not in source and flag[2:].replace("-", "_") not in source]


def _of_make(given: list[str]) -> list[str]:
    rules = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", rules))
    variables = set(re.findall(r"\b([A-Z]+)\b", rules))
    if given and "=" not in given[0] and given[0] not in targets:
        return [] if not re.fullmatch(r"[a-z0-9-]+", given[0]) else [f"no target {given[0]!r}"]
    names = [word.partition("=")[0] for word in given[1:] if re.match(r"[A-Z]+=", word)]
    return [name for name in names if name not in variables]


def test_every_command_and_flag_in_the_documents_exists() -> None:
    seen = [(place, line) for place, line in lines() if _is_ours(line)]
    wrong = {f"{place}: {line.strip()[:90]}": found for place, line in seen if (found := faults(line))}
    assert wrong == {}
    assert {words(line)[0] for _place, line in seen} >= {"pointsman", "make"}
    assert len(seen) > 100


def _is_ours(line: str) -> bool:
    """In prose "make sure" is no command."""
    return not line.startswith("make ") or bool(re.match(r"make [a-z0-9-]+(\s+[A-Z]+=|\s*$|\s+#|\s*`)", line))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("pointsman up --confg x.yaml", ["--confg"]),
        ("pointsman polcy check", ["no command 'polcy'"]),
        ("pointsman policy check [CONFIG]", []),
        ("pointsman keys … --config FILE", []),
        ("python -m bench.nothing", ["no module bench.nothing"]),
        ("python -m bench.load --no-such-flag-at-all 3", ["--no-such-flag-at-all"]),
        ("make no-such-target", ["no target 'no-such-target'"]),
        ("make run CONFIG=configs/cpu.yaml", []),
        ("make run CONFG=configs/cpu.yaml", ["CONFG"]),
    ],
)
def test_a_wrong_command_would_be_noticed(line: str, fault: list[str]) -> None:
    assert faults(line) == fault


# --- the reference -----------------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date(tmp_path: Path) -> None:
    committed = (ROOT / "docs" / "configuration-reference.md").read_text("utf-8")
    assert committed == markdown(), f"run `{COMMAND}`"
    place = tmp_path / "reference.md"
    assert CliRunner().invoke(app, ["config", "reference", "--out", str(place)]).exit_code == 0
    assert place.read_text("utf-8") == committed
    wrong = CliRunner().invoke(app, ["config", "reference", "--out", "/nowhere/reference.md"])
    assert wrong.exit_code == 1
    assert "No such file" in wrong.output


def test_the_reference_has_every_field_with_words_for_its_type() -> None:
    page = markdown()
    for _path, model in sections():
        assert " ".join((model.__doc__ or "").split()) in page
        assert all(f"| `{name}` |" in page for name in model.model_fields)
    assert "typing" not in page
    assert "<class" not in page
    assert "any value" not in page.replace("→ any value", ""), "a type without words: add it to reference.py"


# --- the site ----------------------------------------------------------------------------------------------------


def test_the_site_is_built_from_pins_with_hashes_alone() -> None:
    text = (ROOT / "docs" / "site" / "requirements.txt").read_text("utf-8")
    allowed = re.compile(r"[a-z0-9.-]+==[0-9][0-9a-z.]*( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in text.splitlines() if not allowed.fullmatch(line)] == []
    assert "mkdocs-material==" in text


def test_the_site_fetches_nothing_from_another_host() -> None:
    text = (ROOT / "docs" / "site" / "mkdocs.yml").read_text("utf-8")
    site = yaml_file.parse(text.encode(), "mkdocs.yml")
    assert isinstance(site, dict)
    assert site["theme"]["font"] is False
    assert "://" not in text


@pytest.mark.parametrize("keeps", ["responses", "cache", "reviews"])
def test_the_promise_of_what_is_stored_names_whatever_keeps_content_and_its_switch(keeps: str) -> None:
    page = (ROOT / "docs" / "privacy.md").read_text("utf-8")
    told = page.partition("\n## What is stored\n")[2].partition("\n## ")[0]
    switch = "`policy.review`" if keeps == "reviews" else f"`{keeps}.enabled: false`"
    assert f"`{keeps}.keep_s`" in told
    assert switch in told
