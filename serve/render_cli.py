"""`pointsman render`: write what an overlay of k8s/ tells Serve."""

from pathlib import Path
from typing import Annotated

import typer

from serve.errors import ConfigError


def render(
    env: Annotated[str, typer.Option(help="cpu, gpu-single or gpu-prod: the overlay in k8s/overlays.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Another configuration; the image must hold it in configs/."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write serve-config.yaml into.")] = None,
) -> None:
    """Write the Serve application of a configuration as KubeRay's serveConfigV2, for an overlay of k8s/."""
    from serve.render import ENVIRONMENTS, FILE, rendered

    if env not in ENVIRONMENTS:
        raise _stop(f"--env must be one of {', '.join(ENVIRONMENTS)}, not {env!r}")
    if out and not out.is_dir():
        raise _stop(f"--out: there is no folder {out}")
    try:
        text = rendered(env, config)
    except ConfigError as error:
        raise _stop(str(error)) from None
    if out is None:
        typer.echo(text, nl=False)
        return
    (out / FILE).write_text(text, encoding="utf-8")
    typer.echo(f"{out / FILE}: written")


def _stop(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
