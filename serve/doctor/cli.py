"""`pointsman doctor`, told to a person or as JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve.config import Config, load
from serve.doctor.finding import Finding, failed
from serve.errors import ConfigError

MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]FAIL[/red]"}
out, err = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True)


def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Check this machine for it; default: configs/cpu.yaml."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Check a running Pointsman instead of this machine.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Check a Kubernetes namespace, by kubectl, instead of this machine.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="kubectl's context; only with --namespace.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: check, status, said, todo.")] = False,
) -> None:
    """Check this machine, a running Pointsman or a cluster, and say what to mend.

    Exit status 0: nothing has failed; 1: something has; 2: wrong input.
    """
    try:
        findings = list(_asked(config, url, namespace, context))
    except ConfigError as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps({"failed": failed(findings), "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        _show(findings)
    raise typer.Exit(failed(findings))


def _asked(
    config: Path | None, url: str | None, namespace: str | None, context: str | None
) -> Iterator[Finding]:
    if context and not namespace:
        raise ConfigError("--context belongs to --namespace: say which one")
    if url is not None:
        from serve.doctor import deployment

        yield from deployment.look(url)
    if namespace is not None:
        from serve.doctor import kubernetes

        yield from kubernetes.look(namespace, context)
    if config is not None or (url is None and namespace is None):
        yield from machine_for(load(config or Path("configs/cpu.yaml")))


def machine_for(config: Config) -> Iterator[Finding]:
    """Everything that `config` needs of this machine, in the order in which it would be missed."""
    from serve.doctor import configured, machine

    yield machine.python(config.profile)
    yield from machine.packages(config.profile)
    yield machine.processor(config)
    yield machine.memory(config)
    yield machine.shared_memory()
    yield machine.clock()
    yield from configured.gpu(config)
    yield from configured.models(config)
    yield from configured.references(config)
    yield from configured.database(config)
    yield from configured.disk(config)
    yield configured.keys(config)
    yield configured.port(config)


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        out.print(MARKS[finding.status], end=" ")
        out.print(f"{finding.check}: {finding.said}", markup=False)
        if finding.todo:
            out.print(f"       -> {finding.todo}", markup=False)
    count = Counter(finding.status for finding in findings)
    out.print(f"{count['ok']} ok, {count['warn']} to look at, {count['fail']} to mend")
