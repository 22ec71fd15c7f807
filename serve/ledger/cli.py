"""`pointsman budgets`: what was spent and reserved in this day and this month of UTC, by whom, and how much is left."""

import json
import time

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from serve.config import Config
from serve.errors import ConfigError, KeyStoreError
from serve.keys.keyring import source
from serve.keys.rights import ANONYMOUS
from serve.ledger import money
from serve.ledger.entries import WHOLE_LIFE, Account, Balance, periods
from serve.ledger.store import Store
from serve.ledger.terms import Payer, Terms

MOST_SESSIONS = 20


def show(config: Config, as_json: bool) -> None:
    """Print every account that has a limit or a balance. Raises typer.Exit when that cannot be read."""
    try:
        rows = _rows(config, time.time())
    except (ConfigError, KeyStoreError, OSError) as error:
        raise _fail(str(error)) from None
    except SQLAlchemyError as error:
        raise _fail(f"The ledger cannot be read: {type(error).__name__}") from None
    if as_json:
        print(json.dumps([_document(account, balance) for account, balance in rows], indent=2))
        return
    table = Table("who", "period", "spent $", "reserved $", "limit $", "left $", "used", box=None)
    for account, balance in rows:
        table.add_row(*_cells(account, balance))
    Console().print(table)


def _rows(config: Config, now: float) -> list[tuple[Account, Balance]]:
    """Every account with a limit or a balance, in the order of their names."""
    limits = {account.id: account for account in _limited(config, now)}
    store = Store(config.state.resolve())
    try:
        found = store.balances([*periods(now), WHOLE_LIFE])
    finally:
        store.close()
    sessions = sorted((row for row in found if row[1] == WHOLE_LIFE), key=lambda row: -row[2].used)
    shown = [row for row in found if row[1] != WHOLE_LIFE] + sessions[:MOST_SESSIONS]
    balances = {Account(scope, period).id: balance for scope, period, balance in shown}
    session_cap = Terms(config).session_cap
    accounts = limits | {
        Account(scope, period).id: Account(scope, period, session_cap if period == WHOLE_LIFE else None)
        for scope, period, _ in shown
        if Account(scope, period).id not in limits
    }
    return [(accounts[name], balances.get(name, Balance())) for name in sorted(accounts)]


def _limited(config: Config, now: float) -> list[Account]:
    """Accounts of everybody, of every team and of every key that have a limit."""
    terms = Terms(config)
    everybody = [account for payer in _payers(config) for account in terms.accounts(payer, now)]
    everybody += terms.team_accounts(now)
    return [account for account in dict.fromkeys(everybody) if account.limit is not None]


def _payers(config: Config) -> list[Payer]:
    """Whoever may call: in open mode all are one, and the limit of a key holds for it."""
    if config.keys.mode == "open":
        return [Payer(ANONYMOUS)]
    entries = source(config.keys, config.state.resolve())()
    return [Payer(entry.key(config.limits)) for entry in entries]


def _document(account: Account, balance: Balance) -> dict[str, object]:
    return {
        "scope": account.scope,
        "period": account.period,
        "spent": balance.spent,
        "reserved": balance.reserved,
        "limit": account.limit,
    }


def _cells(account: Account, balance: Balance) -> tuple[str, ...]:
    spent = (account.scope, account.period, money.usd(balance.spent), money.usd(balance.reserved))
    if account.limit is None:
        return (*spent, "-", "-", "-")
    used = f"{balance.used / account.limit:.0%}" if account.limit else "100%"
    return (*spent, money.usd(account.limit), money.usd(account.limit - balance.used), used)


def _fail(message: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False)
    return typer.Exit(1)
