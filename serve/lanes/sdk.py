"""The official SDKs' clients without what they take from the environment.

Knows what that is. Does not know lanes.
"""

import logging
from collections.abc import Mapping
from typing import Protocol, TypeVar

from openai import AsyncOpenAI, OpenAI


class Sdk(Protocol):
    """A client of either SDK."""

    _custom_headers: Mapping[str, str]


T = TypeVar("T", bound=Sdk)


def bare(sdk: T) -> T:
    """`sdk` with the address and the key it was given, and nothing else to send or to log.

    The variables `*_CUSTOM_HEADERS` may name an `Authorization`, which takes the place of the key, and with
    `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID` they go to every address. No argument keeps them out: an empty
    organization is sent as an empty header.
    """
    sdk._custom_headers = {}
    if isinstance(sdk, OpenAI | AsyncOpenAI):
        sdk.organization = sdk.project = sdk.admin_api_key = sdk.webhook_secret = None
    _quieten("openai", "anthropic")
    return sdk


def _quieten(*names: str) -> None:
    """Below WARNING the SDKs log whole requests, and `OPENAI_LOG` and `ANTHROPIC_LOG` ask for that."""
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
