"""What may import what, and words that stand nowhere: promises about the sources themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import serve

ROOT = Path(__file__).parents[2]
KNOWS_RAY = {
    "app",
    "router_deployment",
    "engine",
    "encoder",
    "scout",
    "cloud",
    "up",
    "loopback",
    "redeploy",
    "lanes/handle",
    "lanes/home",
    "scaling",
}
KNOWS_HTTP = {
    "egress",
    "pool",
    "cloud",
    "lanes/openai",
    "lanes/anthropic",
    "lanes/sdk",
    "cli",
    "doctor/deployment",
    "doctor/configured",
}
CLIENTS = {
    "httpx",
    "httpx2",
    "httpcore2",
    "openai",
    "anthropic",
    "requests",
    "aiohttp",
    "urllib3",
    "http",
    "urllib.request",
    "websockets",
}
TYPES_ONLY = ("anthropic.types", "openai.types")
UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
REMOTE_CODE = "trust_remote_code"
# Put together here so that this file does not name them either.
REGISTRIES = [".".join(parts) for parts in [
    ("pypi", "org"), ("pypi", "python", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"),
    ("yarnpkg", "com"), ("deb", "debian", "org"), ("security", "debian", "org"), ("ftp", "debian", "org"),
]]  # fmt: skip
NOT_OURS = {
    ".git",
    ".venv",
    ".venv-docs",
    ".cache",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
}


def sources(*folders: str) -> dict[str, ast.Module]:
    """Every module by its path below its folder, without the suffix."""
    found = {
        path.relative_to(ROOT / folder).with_suffix("").as_posix(): ast.parse(path.read_text("utf-8"))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert found
    return found


def imported(tree: ast.Module) -> set[str]:
    """Full names of imported modules, `from a import b` as both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imports(tree: ast.Module, modules: set[str]) -> bool:
    return any(
        name == module or name.startswith(f"{module}.") for name in imported(tree) for module in modules
    )


def opens_connections(tree: ast.Module) -> bool:
    names = {name for name in imported(tree) if not name.startswith(TYPES_ONLY)} - {
        "openai.types",
        "anthropic.types",
    }
    return any(name == client or name.startswith(f"{client}.") for name in names for client in CLIENTS)


def unsafe(tree: ast.Module) -> Iterator[str]:
    """What runs code that somebody else wrote."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in UNSAFE_CALLS:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                yield "torch.load"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "shell=True"
            case ast.keyword(arg=arg) if arg == REMOTE_CODE:
                yield REMOTE_CODE
            case ast.Constant(value=value) if value == REMOTE_CODE:
                yield REMOTE_CODE
    if imports(tree, UNSAFE_MODULES):
        yield "pickle"


def test_serve_is_this_package_and_rays_is_another() -> None:
    from ray import serve as ray_serve

    assert Path(serve.__file__).is_relative_to(ROOT)
    assert not Path(ray_serve.__file__).is_relative_to(ROOT / "serve")
    assert ray_serve.__name__ == "ray.serve"


def test_only_the_modules_that_talk_to_ray_import_it() -> None:
    assert {name for name, tree in sources("serve").items() if imports(tree, {"ray"})} == KNOWS_RAY
    assert not [name for name, tree in sources("models").items() if imports(tree, {"ray"})]


@pytest.mark.parametrize("module", ["serve.router", "serve.explain", "serve.cli", "serve.lanes.anthropic"])
def test_what_needs_no_ray_does_not_load_it_on_the_way_either(module: str) -> None:
    ask = f"import sys, {module}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_gate_the_lanes_and_the_command_line_know_an_http_client() -> None:
    assert {name for name, tree in sources("serve").items() if opens_connections(tree)} == KNOWS_HTTP


@pytest.mark.parametrize("folder", ["serve", "models"])
def test_no_source_runs_code_that_somebody_else_wrote(folder: str) -> None:
    found = {name: list(unsafe(tree)) for name, tree in sources(folder).items() if list(unsafe(tree))}
    # The configuration names it once: to refuse it.
    assert found == ({"config/engines": [REMOTE_CODE]} if folder == "serve" else {})


@pytest.mark.parametrize("section", ["policy", "wire", "signals", "request"])
def test_what_decides_knows_no_lanes_and_no_edge(section: str) -> None:
    edge = {
        f"serve.{name}" for name in ("lanes", "dispatch", "router", "ingress", "cloud", "edge_body", "app")
    }
    mine = {name: tree for name, tree in sources("serve").items() if name.split("/")[0] == section}
    assert mine
    assert not [name for name, tree in mine.items() if imports(tree, edge)]


def ours() -> Iterator[Path]:
    todo = [ROOT]
    while todo:
        for path in todo.pop().iterdir():
            if path.name in NOT_OURS or path.is_symlink():
                continue
            if path.is_dir():
                todo.append(path)
            else:
                yield path


def test_no_file_names_a_package_registry() -> None:
    seen = [path for path in ours() if path.stat().st_size < 20_000_000]
    assert Path(__file__) in seen
    naming = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in seen
        for host in REGISTRIES
        if host.encode() in path.read_bytes().lower()
    ]
    assert naming == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param("eval('1')", ["eval"], id="eval"),
        pytest.param("model.eval()", [], id="a-method-called-eval"),
        pytest.param("def f():\n    import pickle as p", ["pickle"], id="pickle-inside"),
        pytest.param(
            "from torch import load\nimport torch\ntorch.load('x')", ["torch.load"], id="torch-load"
        ),
        pytest.param(f"f({REMOTE_CODE}=True)", [REMOTE_CODE], id="an-argument"),
        pytest.param(f"f(**{{'{REMOTE_CODE}': True}})", [REMOTE_CODE], id="a-key"),
        pytest.param("'pickle'", [], id="a-word"),
    ],
)
def test_these_checks_would_notice(code: str, found: list[str]) -> None:
    assert list(unsafe(ast.parse(code))) == found


@pytest.mark.parametrize(
    ("code", "opens"),
    [
        ("import httpx2", True),
        ("from openai import AsyncOpenAI", True),
        ("def f():\n    import urllib.request", True),
        ("from urllib import request", True),
        ("from urllib.parse import urlsplit", False),
        ("from anthropic.types import Message", False),
    ],
)
def test_a_client_is_noticed_and_a_type_is_none(code: str, opens: bool) -> None:
    assert opens_connections(ast.parse(code)) is opens
