"""What one organisation adds: its own words, and higher classes for rules.

Knows how they are compiled. Does not read configuration files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import re2  # type: ignore[import-untyped]

from serve.signals.readings import Finding, Sensitivity
from serve.signals.sensitivity.levels import LEVELS, finding
from serve.signals.sensitivity.pattern import WIDE_MEM, Pattern


@dataclass(frozen=True, slots=True)
class Own:
    """Words by the class they stand for, in any case and as whole words; classes by rule, which only raise."""

    words: Mapping[Sensitivity, Sequence[str]] = field(default_factory=dict)
    levels: Mapping[str, Sensitivity] = field(default_factory=dict)

    def find(self, data: bytes) -> list[str]:
        """The dictionary rules that are true of `data`."""
        found = (
            level for level, words in self.words.items() if words and _compiled(tuple(words)).found(data)
        )
        return [f"dictionary_{level.label}" for level in found]

    def finding(self, detector: str, rule: str, path: str) -> Finding:
        """A finding of `rule` at its class, raised where the organisation says so."""
        plain = finding(detector, rule, path)
        return Finding(detector, rule, max(plain.level, self.levels.get(rule, plain.level)), path)


NOTHING = Own()


def lowered(levels: Mapping[str, Sensitivity]) -> list[str]:
    """The rules that do not exist or whose class `levels` would lower."""
    return [rule for rule, level in levels.items() if rule not in LEVELS or level < LEVELS[rule]]


@cache
def _compiled(words: tuple[str, ...]) -> Pattern:
    edge = r"(?:^|$|[^\p{L}\p{N}])"
    return Pattern(rf"(?i){edge}(?:{'|'.join(map(re2.escape, words))}){edge}", max_mem=WIDE_MEM)
