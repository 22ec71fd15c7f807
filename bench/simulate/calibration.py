"""The service times that the simulation uses, each with where it comes from: measured, or assumed and said so."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
QUANTILES = 101


class CalibrationUnreadable(Exception):
    """The message names the file and the fault."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str = Field(min_length=1, description="file and command, or ASSUMED and why")


class EngineTimes(_Part):
    """One replica. A token takes longer the more streams run: linear between one and all slots."""

    slots: Annotated[int, Field(ge=1)]
    first_token_s: Share
    prefill_s_per_token: Share
    gap_alone_s: Seconds
    gap_full_s: Seconds
    usd_per_hour: Share = 0.0


class Batched(_Part):
    """One writer that commits what waits together: `commit_s` for a commit and `entry_s` for each entry in it."""

    commit_s: Share
    entry_s: Seconds
    most: Annotated[int, Field(ge=1)]

    @property
    def per_s(self) -> float:
        """Entries a second at most."""
        return self.most / (self.commit_s + self.most * self.entry_s)


class RouterTimes(_Part):
    """CPU seconds that one request takes of a Router's core, the hop and the proxy's work included."""

    cpu_s: Seconds


class Proxy(_Part):
    """The HTTP proxy before the Routers: requests a second of one process."""

    per_s: Seconds


class Cloud(_Part):
    """The lane that a spilled request goes to; dollars per million tokens."""

    first_token_s: Seconds
    gap_s: Seconds
    input_usd: Share
    output_usd: Share


class Lengths(_Part):
    """Tokens of prompts and answers: values at evenly spaced quantiles from 0 to 1."""

    input: list[float] = Field(min_length=2)
    output: list[float] = Field(min_length=2)

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Input and output tokens of `count` requests, drawn apart from each other."""
        evenly = [np.linspace(0, 1, len(values)) for values in (self.input, self.output)]
        return (
            np.interp(random.random(count), evenly[0], self.input),
            np.interp(random.random(count), evenly[1], self.output),
        )


class Calibration(BaseModel):
    """Everything that the simulation takes from outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    engines: Mapping[str, EngineTimes]
    router: RouterTimes
    proxy: Proxy
    ledger: Batched
    audit: Batched
    cloud: Cloud
    lengths: Lengths


def load(path: Path) -> Calibration:
    """Raises CalibrationUnreadable."""
    try:
        return Calibration.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationUnreadable(
            f"{path}: {error.strerror if isinstance(error, OSError) else error}"
        ) from error
    except (ValidationError, json.JSONDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else f"not JSON: {error}"
        raise CalibrationUnreadable(f"{path}: {fault}") from error


def fitted(one_s: float, many_per_s: float, many: int) -> tuple[float, float]:
    """Seconds of a commit and of one entry, from the wait of one client and the pace of `many` that share commits."""
    entry = max(1e-6, (many / many_per_s - one_s) / (many - 1))
    return round(max(0.0, one_s - entry), 6), round(entry, 6)


def quantiles(values: list[int]) -> list[float]:
    """Evenly spaced quantiles of lengths."""
    found: list[float] = np.quantile(values, np.linspace(0, 1, QUANTILES)).round(1).tolist()
    return found


def parts(calibration: Calibration) -> list[tuple[str, str]]:
    """Each part and where it comes from."""
    named: list[tuple[str, Any]] = [(f"engine {name}", part) for name, part in calibration.engines.items()]
    for name in ("router", "proxy", "ledger", "audit", "cloud", "lengths"):
        named.append((name, getattr(calibration, name)))
    return [(name, part.source) for name, part in named]
