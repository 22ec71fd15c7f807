"""What stands in for a secret in documentation: the values that are not one.

Knows stand-ins in code and prose. Does not know where a value was found.
"""

import base64
from collections import Counter
from math import log2

from serve.signals.sensitivity.pattern import Pattern

_STAND_IN = Pattern(
    r"(?i)^(?:my|your|the|a|an|some|this|test|user|db|admin|app|root|new|old|"
    r"super)?[_\-.\s]*(?:pass(?:word|wd|phrase)?|pwd|pw|"
    r"secret|token|key|api[_\-]?key|value|string|example|placeholder|changeme|change[_\-]?(?:me|it|"
    r"this)|dummy|fake|"
    r"sample|redacted|removed|masked|hidden|none|null|nil|undefined|true|false|todo|tbd|required|optional|"
    r"admin|root|user|username|postgres|guest|test(?:ing)?|foo|bar|foobar|default|here|str|int|"
    r"bool|text)"
    r"[_\-.\s]*(?:here|key|token|value|word|goes[_\-]here|string|name|hash|id)?$"
)
_SPELT_OUT = Pattern(
    r"(?i)^your|your[_\-]|my[_\-](?:secret|token|api|key|pass)|example|placeholder|change[_\-]?me|"
    r"insert[_\-]|replace[_\-]|redacted|"
    r"dummy|x{4,}|\*{3,}|\.{3}|0{8,}|1234567890$|<[^>]*>|\$\{|\{\{|\$\(|^%\(|^%s$|process\.env|"
    r"os\.(?:environ|getenv)|getenv|"
    r"secrets\.|vault:|!ref|valuefrom|\benv\."
)
# Maven writes what it encrypted in braces; every other brace opens a template.
_ENCRYPTED = Pattern(r"\{[0-9A-Za-z+/]{20,}={0,2}\}")
_REFERENCE = Pattern(r"[$%{<\[(].*|[A-Za-z_][A-Za-z_]*(?:[.(\[]).*|&[A-Za-z_].*|[A-Za-z_]+\)*")


# Shown in manuals or built into browsers: known to everybody.
_PUBLISHED_WORDS = """
    gho_16C7e42F292c6912E7710c838347Ae178B4a AIzaSyBqJZh-7pA44blAaAkH6490hUFOwX0KCYM
    AIzaSyA2KlwBX3mkFo30om9LUFYQhpqLoa_BNhE AIzaSyBOti4mM-6x9WDnZIjIeyEU21OpBXqWBgw AKIAIOSFODNN7EXAMPLE
    wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
    """
_PUBLISHED = frozenset(_PUBLISHED_WORDS.split())
# The first part of a web token alone: a sample cut short.
_TOKEN_HEAD = Pattern(r"eyJ(?:hbGciOi|0eXAiOi)[0-9A-Za-z_\-]{4,48}")
# What nobody draws at random, inside what is wrapped once more.
_COUNTED_OUT = Pattern(r"(?i)^[0-9a-z]{16,}(?:12345|changeme)$|^(?:12345|changeme)[0-9a-z]{16,}$")


def is_published(value: str) -> bool:
    """Whether `value` is one that manuals and programs show to everybody."""
    return value in _PUBLISHED


def is_counted_out(value: str) -> bool:
    """Whether `value`, as it is or behind base64, holds what nobody draws at random."""
    return any(_COUNTED_OUT.found(one) for one in (value, _plain(value)))


def is_placeholder(value: str) -> bool:
    """Whether `value`, as it is or behind base64, only shows where a secret would go."""
    if len(set(value)) < 4 or _STAND_IN.found(value) or _SPELT_OUT.found(value) or _TOKEN_HEAD.covers(value):
        return True
    plain = _plain(value)
    # What is wrapped may be a whole file, in which an example host is no stand-in for its passwords.
    return is_published(value) or (
        "{" not in plain and (_SPELT_OUT.found(plain) or _COUNTED_OUT.found(plain))
    )


def _plain(value: str) -> str:
    """What `value` wraps in base64, or nothing."""
    if len(value) % 4:
        return ""
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        return ""


def is_reference(value: str) -> bool:
    """Whether `value`, unquoted, is a variable, call or template rather than a literal."""
    return _REFERENCE.covers(value) and not _ENCRYPTED.covers(value)


def entropy(value: str) -> float:
    """Bits per character."""
    counts = Counter(value)
    return -sum(n / len(value) * log2(n / len(value)) for n in counts.values())
