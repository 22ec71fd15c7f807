"""One tracked decision as it is kept: ids, codes, counts, money and times, and never a word of its content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt: the place in the order, the lane, how it ended, and how long it took."""

    position: int
    lane: str
    outcome: str
    ms: int


@dataclass(frozen=True, slots=True)
class Row:
    """One decision that is over. `at`: Unix milliseconds of its end.

    key             the key's name; keys with one name are one caller
    session         a hash, as the ledger keeps it
    tier, location  of the lane that answered, like `lane` None where none did
    cost            micro-dollars of all its attempts, our own hardware too; `billed` is the part that providers bill
    baseline        micro-dollars that the same tokens cost at the lane of always-cloud
    latency_ms      until the end of the answer, `first_ms` until its beginning, `overhead_ms` no lane's share of it
    attempts        lanes asked; `fallbacks` after one failed, `escalations` after one answered badly
    spilled         a lane was full or down, so that another came first
    verdict         `valid`, `repaired`, `reasked`, `unsure` or `invalid`; None where nothing was judged
    error           the code the client got, `left` when it had gone; None: it was answered
    reviewed        the answer was held for a reviewer
    """

    decision_id: str
    at: int
    key: str
    team: str | None
    session: str | None
    data_class: str
    task: str
    tier: int | None
    location: str | None
    lane: str | None
    policy_version: str
    reason: str
    difficulty: str
    judge: str
    constraint_count: int
    input_tokens: int
    output_tokens: int
    cost: int
    billed: int
    baseline: int
    latency_ms: int
    first_ms: int | None
    overhead_ms: float
    attempts: int
    fallbacks: int
    escalations: int
    spilled: bool
    verdict: str | None
    error: str | None
    stream: bool
    reviewed: bool


@dataclass(frozen=True, slots=True)
class Tracked:
    """A row with its attempts. `scout_ms`: how long the Scout was waited for, None where it was not asked."""

    row: Row
    steps: tuple[Step, ...]
    scout_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """The caller of this decision has sent the same prompt again."""

    decision_id: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the routing table chose for one decision, and how likely it was to choose so.

    at            Unix milliseconds of its end
    table         version of the table that decided, drawn from the lot `current`, `canary` or `explore`
    trial         number of the change that began the canary, None without one
    apart         the canary and the current table choose different tiers
    task          the row that decided
    gain          likely gain, 0 to 1
    tier          the tier that it chose
    p1, p2, p3    probability of each tier
    """

    decision_id: str
    at: int
    table: str
    lot: str
    trial: int | None
    apart: bool
    task: str
    gain: float
    tier: int
    p1: float
    p2: float
    p3: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decision that was answered while a sweep was open.

    lanes   which tiers had a lane for it: 1 for tier 1, 2 for tier 2, 4 for tier 3, added up
    s1, s2  how likely it was that the sweep asked the lane of this tier, 0 to 1
    """

    decision_id: str
    at: int
    lanes: int
    s1: float
    s2: float


Entry = Tracked | Repeated | Chosen | Sampled
