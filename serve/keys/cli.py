"""`pointsman keys`: create, list, revoke and rotate keys. A key is shown once, when it is made.

The key goes to standard output and everything else to standard error: `KEY=$(pointsman keys create --name me)`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Column, Table

from serve.config import load
from serve.errors import ConfigError, KeyStoreError
from serve.keys import credential, file
from serve.keys.config import KeysConfig
from serve.keys.entry import Grant, KeyEntry, moment

if TYPE_CHECKING:
    from serve.keys.store import KeyStore

app = typer.Typer(no_args_is_help=True, help=__doc__)
out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

DAY_S = 86_400
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Take the database of keys of this configuration; default: your own."
    ),
]
Who = Annotated[str, typer.Argument(help="The name or the id of a key.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who it is for: letters, digits and . _ @ -")],
    lane: Annotated[
        list[str] | None, typer.Option(help="A lane it may use; again for more. Default: all.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="reviewer, metrics or admin; again for more.")
    ] = None,
    class_floor: Annotated[
        str, typer.Option(help="Its requests are at least public, internal or confidential.")
    ] = "public",
    exempt: Annotated[
        list[str] | None,
        typer.Option(help="A rule, such as email, that its requests may set aside; again for more."),
    ] = None,
    override: Annotated[bool, typer.Option(help="It may steer by model name, header and prefix.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="The same deterministic request may be answered from memory.")
    ] = False,
    rpm: Annotated[int | None, typer.Option(help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens per minute, input and output together.")] = None,
    max_parallel: Annotated[int | None, typer.Option(help="Requests at the same time.")] = None,
    team: Annotated[str | None, typer.Option(help="The team that pays with it: budgets.teams.")] = None,
    budget: Annotated[float | None, typer.Option(help="US dollars a month, at providers.")] = None,
    budget_day: Annotated[float | None, typer.Option(help="US dollars a day, at providers.")] = None,
    expires: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days until it stops to work.")
    ] = None,
    print_yaml: Annotated[
        bool, typer.Option("--print-yaml", help="Print an entry for keys.file and keep nothing here.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make a key and show it, this once."""
    wanted = {
        "lanes": lane or None,
        "overrides": override,
        "class_floor": class_floor,
        "scopes": scope or (),
        "exempt": exempt or (),
        "cache": cache,
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "max_parallel": max_parallel,
        "team": team,
        "budget_usd_day": None if budget_day is None else Decimal(str(budget_day)),
        "budget_usd_month": None if budget is None else Decimal(str(budget)),
    }
    with _plain_words():
        _check_lanes(lane or [], config)
        entry, key = _minted(name, Grant.model_validate(wanted), expires)
        if print_yaml:
            print(file.written(entry), end="")
            err.print(f"{key}\nThe key, shown this once; the entry goes below `keys:` in keys.file.")
            return
        _store(config).add(entry)
    _show(entry, key)


@app.command("list")
def listed(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Every key, with what it may do; never the key itself."""
    with _plain_words():
        entries = _entries(config)
    if as_json:
        print(json.dumps([_document(entry) for entry in entries], indent=2))
        return
    if not entries:
        err.print("No keys yet: `pointsman keys create --name NAME` makes one.")
        return
    table = Table(
        *(Column(name, overflow="fold") for name in ("key", "name", "state", "created", "ends", "may"))
    )
    table.box = None
    for entry in entries:
        row = (f"pm-{entry.id}-…", entry.name, entry.state(time.time()), _day(entry.created_at))
        table.add_row(*row, _day(entry.expires_at), _may(entry.grant))
    Console().print(table)


@app.command()
def revoke(who: Who, config: ConfigOption = None) -> None:
    """Stop a key, and what it replaced, within five seconds. What runs already ends undisturbed."""
    with _plain_words():
        ids = _store(config).revoke(who)
    err.print(f"Revoked: {', '.join(ids)}")


@app.command()
def rotate(
    who: Who,
    grace: Annotated[int, typer.Option(min=0, help="Seconds that the old key goes on to work.")] = 3600,
    config: ConfigOption = None,
) -> None:
    """Make a new key with the same name and rights; the old one works until the grace ends."""
    with _plain_words():
        store = _store(config)
        old = store.current(who)
        entry, key = _minted(old.name, old.grant, _lifetime(old))
        store.rotate(old, entry, grace)
    _show(entry, key)
    err.print(f"The old key {old.id} works for another {grace} s.")


def _minted(name: str, grant: Grant, days: float | None) -> tuple[KeyEntry, str]:
    public, key, sha256 = credential.mint()
    now = time.time()
    expires = None if days is None else moment(now + days * DAY_S)
    entry = KeyEntry(
        id=public, name=name, sha256=sha256, created_at=moment(now), expires_at=expires, grant=grant
    )
    return entry, key


def _lifetime(old: KeyEntry) -> float | None:
    """Days from making to end, so that a rotated key lasts as long as the old one was meant to."""
    if old.expires_at is None or old.created_at is None:
        return None
    return (old.expires_at - old.created_at).total_seconds() / DAY_S


def _show(entry: KeyEntry, key: str) -> None:
    print(key)
    err.print(f"The key of {entry.name}, shown this once. {_may(entry.grant)}.", markup=False)


def _store(config: Path | None) -> "KeyStore":
    keys, state_url = _section(config)
    if keys.file is not None:
        raise ConfigError(
            f"{config}: its keys come from {keys.file}: use `pointsman keys create --print-yaml` and edit that file"
        )
    return _database(keys.database(state_url))


def _entries(config: Path | None) -> list[KeyEntry]:
    keys, state_url = _section(config)
    return file.read(keys.file) if keys.file is not None else _database(keys.database(state_url)).entries()


def _database(url: str | None) -> "KeyStore":
    from serve.keys.store import KeyStore  # SQLAlchemy is slow to import, and other commands do not need it

    return KeyStore(url)


def _check_lanes(names: list[str], config: Path | None) -> None:
    """A misspelt lane would be a key that can do nothing; only a configuration can tell."""
    known = {lane.name for lane in load(config).lanes} if config else set(names)
    if unknown := sorted(set(names) - known):
        raise ConfigError(
            f"--lane {unknown[0]}: {config} has no such lane; it has {', '.join(sorted(known))}"
        )


def _section(config: Path | None) -> tuple[KeysConfig, str | None]:
    """What a configuration says of keys, and its state.url, which is only looked up where keys may be there."""
    if config is None:
        return KeysConfig(), None
    loaded = load(config)
    own = loaded.keys.file or loaded.keys.url
    return loaded.keys, None if own else loaded.state.resolve()


def _document(entry: KeyEntry) -> dict[str, object]:
    shown = entry.model_dump(mode="json", exclude={"sha256"})
    return {"prefix": f"pm-{entry.id}-", "state": entry.state(time.time()), **shown}


def _may(grant: Grant) -> str:
    limits = {
        "requests/min": grant.requests_per_minute,
        "tokens/min": grant.tokens_per_minute,
        "at a time": grant.max_parallel,
        "USD a day": grant.budget_usd_day,
        "USD a month": grant.budget_usd_month,
    }
    parts = [
        "all lanes" if grant.lanes is None else f"lanes {', '.join(sorted(grant.lanes))}",
        "overrides" if grant.overrides else "no overrides",
        *([] if grant.class_floor == "public" else [f"at least {grant.class_floor}"]),
        *sorted(grant.scopes),
        *([f"may set aside {', '.join(sorted(grant.exempt))}"] if grant.exempt else []),
        *(["cached answers"] if grant.cache else []),
        *([f"team {grant.team}"] if grant.team else []),
        *(f"{value:,} {unit}" for unit, value in limits.items() if value is not None),
    ]
    return "; ".join(parts)


def _day(at: object) -> str:
    return str(at or "-").partition("+")[0]


@contextmanager
def _plain_words() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False, include_context=False)
        problem = "\n".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in items)
        raise _fail(problem) from None
    except (ConfigError, KeyStoreError) as error:
        raise _fail(str(error)) from None


def _fail(message: str) -> typer.Exit:
    err.print(message, style="red", markup=False)
    return typer.Exit(1)
