"""`pointsman plan`: whether a model fits on a GPU, told to a person."""

from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from serve.errors import ConfigError
from serve.plan import BITS, GIB, Plan, Quantization, Wish, quantization_of, shape_of, size
from serve.plan import plan as planned

console = Console(soft_wrap=True)


def plan(
    gpu: Annotated[str, typer.Option(help="Memory of one card: 24GB or 22.5GiB.")],
    model: Annotated[str, typer.Option(help="A folder with config.json, or a well-known name: qwen2.5-7b.")],
    quantization: Annotated[
        str | None, typer.Option(help=f"{', '.join(BITS)}; default: as the model's name or config.json says.")
    ] = None,
    context: Annotated[int, typer.Option(min=1, help="Tokens of one request, input and output.")] = 8192,
    scout: Annotated[str, typer.Option(help="What the Scout takes of the same card; 0 for none.")] = "0.5GiB",
    tensor_parallel: Annotated[int, typer.Option(min=1, help="Cards that share the model.")] = 1,
    batched_tokens: Annotated[int, typer.Option(min=1, help="vLLM's max_num_batched_tokens.")] = 2048,
) -> None:
    """Count weights, KV cache and Scout: does a model fit on a GPU, and for how many requests at once?

    Exit status 1 where it does not fit. Sizes are estimates; vLLM's own log says what it found.
    """
    try:
        shape = shape_of(model)
        kind = quantization or quantization_of(model, shape)
        if kind not in BITS:
            raise ConfigError(f"--quantization must be one of {', '.join(BITS)}, not {kind!r}")
        wish = Wish(
            size(gpu), shape, cast(Quantization, kind), context, tensor_parallel, size(scout), batched_tokens
        )
        found = planned(wish)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    _show(found, f"{model}, {kind}, on {tensor_parallel} x {gpu}")
    if not found.fits:
        raise typer.Exit(1)


def _show(found: Plan, title: str) -> None:
    table = Table("GiB of each card", "", title=title, title_justify="left")
    parts = {"usable": found.usable, "weights": found.weights, "work space": found.work, "Scout": found.scout}
    for name, amount in (parts | {"left for the KV cache": found.kv}).items():
        table.add_row(name, f"{amount / GIB:.2f}")
    console.print(table)
    console.print(f"KV cache: {found.kv_per_token} bytes per token, {found.tokens} tokens", highlight=False)
    said = (
        f"fits: {found.requests} requests of {found.context} tokens at once" if found.fits else _short(found)
    )
    console.print(said, highlight=False)


def _short(found: Plan) -> str:
    if found.kv <= 0:
        return f"does not fit: {-found.kv / GIB:.2f} GiB too large, before any KV cache"
    return f"does not fit: only {found.tokens} tokens, and one request may have {found.context}"
