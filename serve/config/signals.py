"""How requests are read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from serve.config.strict import Strict
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity.levels import LEVELS
from serve.signals.sensitivity.own import Own, lowered


class SensitivityConfig(Strict):
    """An organisation's own words, and rules whose class it raises. Nothing here can lower a class."""

    dictionary: dict[Literal["internal", "confidential"], tuple[str, ...]] = Field(
        default={}, description="whole words or phrases, in any case, by the class of a text that has one"
    )
    levels: dict[str, Literal["internal", "confidential"]] = Field(
        default={}, description="a higher class for a rule, e.g. full_name: confidential"
    )

    @model_validator(mode="after")
    def _only_raises(self) -> Self:
        if wrong := lowered(self.own.levels):
            # A name that is no rule's may be a word of the dictionary in a wrong place.
            told = sorted({rule if rule in LEVELS else "*" for rule in wrong})
            raise ValueError(f"levels: {', '.join(told)}: no such rule, or its class is already higher")
        if any(not word.strip() for words in self.dictionary.values() for word in words):
            raise ValueError("dictionary: an empty word would be found in every text")
        return self

    @property
    def own(self) -> Own:
        """The same for the sensitivity signal."""
        words = {Sensitivity.parse(level): words for level, words in self.dictionary.items()}
        return Own(words, {rule: Sensitivity.parse(level) for rule, level in self.levels.items()})


class SignalsConfig(Strict):
    """When the Scout is asked and how long anybody waits."""

    scout_deadline_s: float = Field(0.08, gt=0, description="past it the decision is made without the Scout")
    sure_at: float = Field(
        0.75,
        ge=0,
        le=1,
        description="pre-scout confidence from which nobody else is asked; 0: the Scout is never asked",
    )
    deadline_s: float = Field(5, gt=0, description="past it the sensitivity of a request is confidential")
    inline_chars: int = Field(20_000, ge=0, description="longer texts are read off the event loop")
    sensitivity: SensitivityConfig = SensitivityConfig()
