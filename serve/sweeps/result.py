"""One result of a sweep as it is kept: ids, codes, numbers, and never a word of either answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What the tier below did with one request. `at`: Unix milliseconds.

    id          of the shadow call: in the audit log and the ledger
    decision_id of the request that was sampled
    verdict     `valid`, `repaired` or `invalid`; else why the lane gave no answer: then `good` is None
    agreement   with the answer that the client got, 0 to 1; None without an answer
    score       the judge's, 0 to 1; None where nobody judged
    good        whether the answer would have done
    cost        micro-dollars of the shadow call, `judge_cost` of the judge
    """

    id: str
    decision_id: str
    at: int
    sweep: str
    task: str
    data_class: str
    policy_version: str
    from_lane: str
    from_tier: int
    to_lane: str
    to_tier: int
    verdict: str
    agreement: float | None
    score: float | None
    good: bool | None
    cost: int
    judge_cost: int
