"""Budget: how much of the tightest limit is used, and which lanes may cost more than is left.

Reads what was last seen of the balances: it steers. What may really be spent is settled by the ledger, when a lane is
about to be asked.
"""

from serve.ledger.bill import over
from serve.ledger.desk import Desk
from serve.ledger.entries import Account, Balance
from serve.ledger.estimate import Size, usual, worst
from serve.ledger.terms import Payer, Terms
from serve.signals.readings import BudgetReading


def read(desk: Desk, terms: Terms, payer: Payer, size: Size, cap: int | None) -> BudgetReading:
    """The reading for one request that may cost at most `cap` micro-dollars, None for no limit of its own."""
    costs = {name: _cost(terms, name, size) for name in terms.tariffs}
    if not any(tariff.billed for tariff in terms.tariffs.values()):
        return BudgetReading(costs=tuple(costs.items()), ceiling=cap)
    limited = [account for account in terms.accounts(payer, desk.clock()) if account.limit is not None]
    seen = desk.balances(limited) if limited else {}
    used = {account: seen.get(account.id, Balance()).used for account in limited}
    tightest = max(used, key=lambda account: _share(used[account], account), default=None)
    refused = tuple(_refused(desk, terms, size, cap, used))
    return BudgetReading(
        share=_share(used[tightest], tightest) if tightest else 0.0,
        tightest=tightest.words if tightest else "",
        costs=tuple(costs.items()),
        refused=refused,
        down=desk.state == "down",
        ceiling=cap,
    )


def _cost(terms: Terms, name: str, size: Size) -> int:
    """What decides between lanes is what providers will ask for, not what our own hardware costs anyway."""
    tariff, tokens = terms.tariffs[name], usual(size)
    return tariff.cost(tokens.input, tokens.cached, tokens.output) if tariff.billed else 0


def _refused(
    desk: Desk, terms: Terms, size: Size, cap: int | None, used: dict[Account, int]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, tariff in terms.tariffs.items():
        if not tariff.billed:
            continue
        most = worst(size, tariff)
        amount = tariff.cost(most.input, most.cached, most.output)
        if desk.state == "down":
            found.append((name, f"the ledger is down: {desk.fault}"))
        elif cap is not None and amount > cap:
            found.append((name, over(amount, cap, "the limit of this request")))
        elif short := next((a for a, spent in used.items() if spent + amount > (a.limit or 0)), None):
            found.append((name, over(amount, (short.limit or 0) - used[short], short.words)))
    return found


def _share(used: int, account: Account) -> float:
    """Used part of a limit; a limit of nothing is used up."""
    return used / account.limit if account.limit else 1.0
