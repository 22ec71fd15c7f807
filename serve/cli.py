"""The `pointsman` command line.

Talks to people: every failure says what was wrong, where, and what to do.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import httpx2
import openai
import typer
from rich.console import Console

from models.cli import app as models_app
from serve.audit.cli import app as audit_app
from serve.config import Config, load
from serve.config.cli import app as config_app
from serve.doctor.cli import doctor
from serve.errors import ConfigError, HttpError
from serve.keys.cli import app as keys_app
from serve.lanes.sdk import bare
from serve.learning.cli import app as tables_app
from serve.plan_cli import plan
from serve.policy_cli import app as policy_app
from serve.render_cli import render

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(models_app, name="models", help="The weights Pointsman runs: fetch, verify, list.")
app.add_typer(keys_app, name="keys", help="Who may call: create, list, revoke, rotate.")
app.add_typer(config_app, name="config", help="What a configuration may say: reference.")
app.add_typer(audit_app, name="audit", help="What was decided: verify, prove, export, retain, erase.")
app.add_typer(
    policy_app, name="policy", help="What the configuration allows: check, explain, test, diff, matrix."
)
app.add_typer(tables_app, name="tables", help="The routing tables: list, show, promote, rollback, learn.")
app.command()(render)
app.command()(plan)
app.command()(doctor)
out, err = Console(), Console(stderr=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The Pointsman configuration.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="A running Pointsman; default: the configured address.")
]
DEFAULT = Path("configs/cpu.yaml")


@app.command()
def up(
    config: ConfigOption = DEFAULT,
    proxy: Annotated[
        str, typer.Option(help="haproxy (fast, default) or plain (Serve's Python proxy)")
    ] = "haproxy",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Overrides server.port of the configuration.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Apply changes of the file while it serves.")] = True,
    log_format: Annotated[
        str | None, typer.Option(help="json or text. Overrides server.log_format of the configuration.")
    ] = None,
) -> None:
    """Start Pointsman on this machine and stay until Ctrl-C.

    A change of the configuration's hot part is applied at once, SIGHUP applies it without --watch.
    """
    from serve.up import apply, describe, overridden, running, wait_for_signal
    from serve.watch import Watch

    def adjusted(settings: Config) -> Config:
        return overridden(settings, port, log_format)

    if proxy not in ("haproxy", "plain"):
        raise _fail(f"--proxy must be haproxy or plain, not {proxy!r}")
    if log_format not in (None, "json", "text"):
        raise _fail(f"--log-format must be json or text, not {log_format!r}")
    settings = adjusted(_load(config))
    try:
        with running(settings, out, proxy=proxy) as url:
            describe(settings, url, out)
            wait_for_signal(Watch(config, settings, adjusted, apply, out), look=watch)
    except (ConfigError, RuntimeError) as error:
        raise _fail(str(error)) from None


@app.command()
def reload(
    config: ConfigOption = DEFAULT,
    address: Annotated[
        str, typer.Option(envvar="RAY_DASHBOARD_ADDRESS", help="The Ray dashboard of the cluster.")
    ] = "http://127.0.0.1:8265",
    name: Annotated[str, typer.Option(help="The Serve application.")] = "pointsman",
) -> None:
    """Hand a changed configuration to a Pointsman on a cluster (`serve deploy`); no replica restarts."""
    from serve.redeploy import send

    settings = _load(config)
    try:
        told = send(settings, address, name)
    except ConfigError as error:
        raise _fail(str(error)) from None
    out.print(f"Told {' and '.join(told)} of policy {settings.version[:12]}; /readyz shows it within 2 s.")


@app.command()
def budgets(
    config: ConfigOption = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, in micro-dollars.")] = False,
) -> None:
    """Show what each key and team has spent at providers this day and month (UTC), and its limits."""
    from serve.ledger.cli import show  # SQLAlchemy is slow to import, and other commands do not need it

    show(_load(config), as_json)


FormatOption = Annotated[str, typer.Option("--format", help="table, markdown, html or json.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write it to this file.")]


@app.command()
def report(
    config: ConfigOption = DEFAULT,
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d, 4w.")] = "7d",
    form: FormatOption = "table",
    file: OutOption = None,
) -> None:
    """Show where requests went, what they cost and saved, what a success costs, and what deserves a look."""
    from serve.outcomes.cli import show_report  # SQLAlchemy is slow to import

    show_report(_load(config), since, form, file)


@app.command()
def analyze(
    log: Annotated[Path, typer.Argument(help="Requests or a usage export, one JSON object a line.")],
    config: ConfigOption = DEFAULT,
    form: FormatOption = "table",
    file: OutOption = None,
) -> None:
    """Say what an existing log of requests would have cost here, without sending anything anywhere."""
    from serve.outcomes.cli import show_analysis

    show_analysis(_load(config), log, form, file)


@app.command()
def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    file: Annotated[Path | None, typer.Option("--file", help="A text appended to the prompt.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole decision as JSON.")] = False,
    config: ConfigOption = DEFAULT,
    url: UrlOption = None,
) -> None:
    """Explain where a prompt would go, without sending it anywhere.

    Asks the running Pointsman (with its Scout and its live load); without one it decides right here
    with the in-process pre-scout.
    """
    settings = _load(config)
    body = _body(_prompt(prompt, file))
    decision, live = _decide(settings, url, body)
    if as_json:
        out.print_json(json.dumps(decision))
        return
    out.print(str(decision["explanation"]), highlight=False, markup=False, soft_wrap=True)
    if not live:
        err.print(
            "(No Pointsman is running here: decided offline, all configured lanes taken as up.)", style="dim"
        )


@app.command()
def ask(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    file: Annotated[Path | None, typer.Option("--file", help="A text appended to the prompt.")] = None,
    model: Annotated[str, typer.Option(help="auto, a lane, or cloud/<model>.")] = "auto",
    config: ConfigOption = DEFAULT,
    url: UrlOption = None,
) -> None:
    """Ask the running Pointsman and stream the answer. Where it wants a key: POINTSMAN_API_KEY."""
    base = url or _address(_load(config))
    client = bare(
        openai.OpenAI(
            base_url=f"{base}/v1",
            api_key=_key(),
            max_retries=0,
            http_client=httpx2.Client(trust_env=False, timeout=600),
        )
    )
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": _prompt(prompt, file)}
    ]
    try:
        raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, stream=True)
        for chunk in raw.parse():
            out.print(
                chunk.choices[0].delta.content or "" if chunk.choices else "",
                end="",
                markup=False,
                highlight=False,
            )
    except openai.APIConnectionError:
        raise _fail(f"Nothing answers at {base}: start it with `make run` or `pointsman up`") from None
    except openai.APIError as error:
        raise _fail(error.message) from None
    heads = raw.headers
    out.print()
    err.print(f"[{heads['x-pointsman-lane']}: {heads['x-pointsman-reason']}]", style="dim", markup=False)


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.ERROR)
    app()


def _load(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        raise _fail(str(error)) from None


def _fail(message: str) -> typer.Exit:
    err.print(message, style="red", markup=False, soft_wrap=True)
    return typer.Exit(1)


def _prompt(prompt: str, file: Path | None) -> str:
    text = sys.stdin.read() if prompt == "-" else prompt
    if file is None:
        return text
    try:
        return f"{text}\n\n{file.read_text(encoding='utf-8')}"
    except (OSError, UnicodeDecodeError) as error:
        raise _fail(f"{file}: {error}") from None


def _body(text: str) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}]}).encode()


def _address(config: Config) -> str:
    return f"http://{config.server.host}:{config.server.port}"


def _key() -> str:
    """The caller's key; in open mode any word will do."""
    return os.environ.get("POINTSMAN_API_KEY") or "none"


def _decide(config: Config, url: str | None, body: bytes) -> tuple[dict[str, object], bool]:
    base = url or _address(config)
    try:
        with httpx2.Client(trust_env=False, timeout=10) as client:
            answer = client.post(
                f"{base}/v1/route",
                content=body,
                headers={"content-type": "application/json", "authorization": f"Bearer {_key()}"},
            )
        decision: dict[str, object] = answer.json()
    except (httpx2.HTTPError, ValueError):
        if url is not None:
            raise _fail(f"Nothing that speaks Pointsman answers at {url}") from None
        return _offline(config, body), False
    if answer.is_error:
        problem = decision.get("error")
        raise _fail(
            str(problem["message"] if isinstance(problem, dict) else f"{base} answered {answer.status_code}")
        )
    return decision, True


def _offline(config: Config, body: bytes) -> dict[str, object]:
    from models.scout.prescout import PreScout
    from serve.explain import as_json
    from serve.keys.limiter import Visit
    from serve.lanes.load import LaneLoad
    from serve.router import Router
    from serve.signals.gather import Judges

    router = Router(config, Judges(PreScout.load(), None), {}, LaneLoad(config))
    try:
        return dict(as_json(asyncio.run(router.decide(body, {}, Visit.anonymous()))))
    except HttpError as error:
        raise _fail(error.message) from None


if __name__ == "__main__":
    main()
