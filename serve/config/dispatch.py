"""How long anything is waited for, and what follows a failure."""

from typing import Literal

from pydantic import Field

from serve.config.strict import Name, Strict


class RetryConfig(Strict):
    """How many attempts there may be beyond the first of each request, per router."""

    share: float = Field(0.2, ge=0, le=1, description="further attempts per request, over the window")
    floor: int = Field(30, ge=0, description="further attempts per window that are allowed in any case")
    window_s: float = Field(10, gt=0)


class EjectionConfig(Strict):
    """When a lane is tried last, and for how long: `cooldown_s` times the number of its ejections."""

    failures: int = Field(5, ge=1, description="so many in a row eject a lane; slow answers count apart")
    share: float = Field(0.5, gt=0, le=1, description="failed share of the window that ejects a lane")
    at_least: int = Field(20, ge=1, description="answers in the window before the share says anything")
    window_s: float = Field(
        30, gt=0, description="window of the share; a well lane loses one ejection per window"
    )
    longest_s: float = Field(300, gt=0)
    slow_factor: float = Field(20, gt=1, description="brown-out: so many times slower than the lane's median")
    slow_s: float = Field(1, gt=0, description="what is faster than this is never a brown-out")


class OverflowConfig(Strict):
    """When requests come back to an engine that was full."""

    low: float = Field(
        0.5, ge=0, le=1, description="share of the queue wait that is accepted while it overflows"
    )
    dwell_s: float = Field(30, ge=0, description="it overflows until nothing had to spill for so long")


class ReaskConfig(Strict):
    """One more question to a lane of our own, decoded along a grammar, before another lane is asked."""

    enabled: bool = True
    lane: Name | None = Field(
        None,
        description="an on-premises lane that decodes along grammars; null: the engine that rules prefer for tools",
    )


class ConfidenceConfig(Strict):
    """How sure of its answer a lane must be; below that another lane is asked. Measure before you set it."""

    at_least: float = Field(gt=0, lt=1, description="probability under which an answer is unsure")
    measure: Literal["min", "mean"] = Field(
        "min", description="of the least likely token, or the geometric mean of all of them"
    )
    least_tokens: int = Field(
        1, ge=1, description="an answer of fewer tokens with letters or digits is too short"
    )


class DispatchConfig(Strict):
    """How long to wait for whom. Seconds."""

    deadline_s: float = Field(300, gt=0, description="the whole request, all attempts together")
    first_token_s: float = Field(60, gt=0, description="first content of a stream, once a lane took the call")
    idle_s: float = Field(30, gt=0, description="gap between two chunks of a stream")
    unary_s: float = Field(180, gt=0, description="an answer in one piece, once a lane took the call")
    queue_wait_s: float = Field(
        0.5, gt=0, description="interactive (stream): wait until a lane takes the call while others are left"
    )
    queue_wait_unary_s: float = Field(3, gt=0, description="the same for answers in one piece")
    last_wait_s: float = Field(
        30, gt=0, description="the same where nobody else is left, as for confidential data"
    )
    max_waiting: int = Field(
        64, ge=0, description="requests that wait beside a full queue; more get 503 at once"
    )
    down_wait_s: float = Field(1, gt=0, description="patience with an engine without replicas, or on trial")
    cooldown_s: float = Field(5, ge=0, description="how long a lane is tried last after its first ejection")
    hedge_after_s: float | None = Field(
        None, gt=0, description="stream without content after this: start the next lane too; null: never"
    )
    reask: ReaskConfig = ReaskConfig()
    tell_next: Literal["all", "on_premises", "none"] = Field(
        "all", description="who, asked after an answer was refused, is told of it and why"
    )
    confidence: dict[Literal["classification", "extraction"], ConfidenceConfig] = Field(
        default_factory=dict, description="by task type; a type that is not named is not measured"
    )
    doubt_calls: bool = Field(
        False, description="ask the next lane where a tool call of ours does not stand on what was said"
    )
    retries: RetryConfig = RetryConfig()
    ejection: EjectionConfig = EjectionConfig()
    overflow: OverflowConfig = OverflowConfig()
