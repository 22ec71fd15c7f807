"""Secrets: keys of known shape, private keys, connection strings and assigned passwords.

Knows what keys look like and what stands in for them in examples. Does not know whether a
key is live.
"""

from serve.signals.sensitivity.assigned import KEY_NAMES, LOGIN_NAMES, VALUE, is_key_value, is_password_value
from serve.signals.sensitivity.pattern import WIDE_MEM, Pattern
from serve.signals.sensitivity.placeholder import entropy, is_counted_out, is_placeholder, is_published
from serve.signals.sensitivity.rule import Rule, RuleSet
from serve.signals.sensitivity.vendors import KEY_SHAPES

_WORD = r"(?:^|[^0-9A-Za-z])"

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JWT = r"eyJ[0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{8,}(?:\.[0-9A-Za-z_\-]*)?"
_PRIVATE_KEY = (
    r"(-{4,5} ?BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"\s*(?:\\+[nr])*\s*[0-9A-Za-z+/=:\\\-, \r\n_]{24,})"
)
# The shortest keys of these two containers are twice this long; others may be as short as an Ed25519 seed.
_WRAPPED_KEYS = ("OPENSSH", "PGP")
_SHORTEST_WRAPPED, _SHORTEST_KEY = 160, 40
_STRETCH = 24
_URL_LOGIN = r"(?i)[a-z][a-z0-9+.\-]*://[^\s:/@\"'<>{}$]*:([^\s@/\"'<>{}]{3,256})@[^\s\"'/@]"
_HASH = (
    r"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}|\$(?:[1567y]|apr1|"
    r"gy)\$[^\s$:]*\$(?:[^\s$:]+\$)?[./A-Za-z0-9]{20,}|"
    r"\$7\$[./A-Za-z0-9$]{40,}|\$[89]\$[./A-Za-z0-9]{14}\$[./A-Za-z0-9]{43}|"
    r"\$argon2(?:id|i|d)\$[^\s]{30,}|pbkdf2_sha256\$[0-9]+\$[^\s$]+\$[A-Za-z0-9+/=]{20,}|\{S?SHA(?:256|"
    r"512)?\}[A-Za-z0-9+/=]{20,}"
)
_HEADER = (
    r"(?i)(?:authorization[\"']?\s*[:=]\s*[\"']?|\b)(?:bearer|basic|token)\s+([0-9A-Za-z._~+/\-]{16,}={0,2})"
)
_FLAT_HEADER = (
    r"(?i)(?:authorization|x-api-key|x-auth-token|private-token|\bcookie)"
    r"[\"']?\s*[:=]\s*[\"']?([0-9A-Za-z._~+/\-]{20,}={0,2})"
)
_COOKIE = (
    r"(?i)\bcookie[\"']?\s*[:=]\s*[\"']?[^\n]{0,200}?[\w\-]*(?:sess|sid\b|auth|token|jwt|remember)[\w\-.]*"
    r"=([0-9A-Za-z._~+/%\-]{16,})"
)
# Short codes count only behind what they are called.
_CODE_NAMES = (
    r"(?:pin(?:[ -]?(?:code|kod|koodi|number|nummer))|(?:my|your|his|her|our|card|sim|door|alarm|atm|min|mein|mon|mi)"
    r" pin|cvv2?|cvc2?|card security code|one[- ]time (?:pass)?code|(?:verification|otp|2fa|mfa|door|alarm|gate|safe"
    r"|unlock|access) (?:pass)?code|\botp\b|engångskod|portkod|code (?:pin|secret)|código de verificación)"
)
_SHORT_CODE = (
    rf"(?i)\b{_CODE_NAMES}[\"'*]{{0,3}}(?:\s{{0,2}}[:=#]\s{{0,2}}| is:? | är | ist | est |"
    rf" es )[\"'*]{{0,3}}([0-9]{{3,8}})\b"
)
_PHRASE = (
    r"(?i)(?:(?:seed|recovery|mnemonic|backup|secret) (?:phrase|words)|mnemonic|wallet words)[\"'*]{0,3}"
    r"(?: is)?\s{0,3}[:=\n]\s{0,4}[\"']?((?:(?:[0-9]{1,2}[.)] ?)?[a-z]{3,8}[ ,\n]{1,2}){11,23}[a-z]{3,8})"
)
_SAMPLE_CODES_WORDS = "123 1234 12345 123456 0000 1111 000000 12345678 000 111 9999"
_SAMPLE_CODES = frozenset(_SAMPLE_CODES_WORDS.split())
_PROSE = "the and for your you with that this are from have can not was will when any all one used"
_PROSE_WORDS = frozenset(_PROSE.split())
_LITERAL = r"[\"'`]([^\"'`\s]{5,128})[\"'`]"
_CALLS = (
    rf"(?i){LOGIN_NAMES}\w{{0,16}}(?:\.set)?\(\s*{_LITERAL}\s*\)",
    rf"(?i){LOGIN_NAMES}[^\n]{{0,48}}\?[^\n]{{1,48}}:\s*{_LITERAL}",
    rf"(?i){LOGIN_NAMES}\s*(?:</name>)?>?\s*<value>([^<\s]{{5,128}})</value>",
    r"(?i)\bidentified (?:with \w+ )?by\s+['\"]([^'\"\n]{5,128})['\"]",
    r"(?m)^[\w.\-*]+:(?:[0-9]{2,5}|\*):[\w.\-*]+:[\w.\-*]+:([^\s:]{6,128})\r?$",
)
_COMMAND_LINES = (
    r"\bmysql\w*\b[^\n|;]{0,120}\s-p([^\s\-\"'$][^\s]{4,64})",
    r"\bcurl\b[^\n|;]{0,200}\s(?:-u|--user)[ =]?[\"']?[^\s:\"'$]{1,64}:([^\s\"'$]{4,128})",
    r"\b(?:docker|podman|oc|helm|skopeo|az|sshpass)\b[^\n|;]{0,120}\s-p[ =]?[\"']?([^\s\"'$\-][^\s\"'$]{4,128})",
    r"\b(?:mosquitto_\w+|sqlcmd|unzip|zip)\b[^\n|;]{0,120}\s-P[ =]?[\"']?([^\s\"'$\-][^\s\"'$]{4,128})",
    r"\bredis-cli\b[^\n|;]{0,120}\s-a[ =]?[\"']?([^\s\"'$\-][^\s\"'$]{4,128})",
    r"\bldap\w+\b[^\n|;]{0,120}\s-w[ =]?[\"']?([^\s\"'$\-][^\s\"'$]{4,128})",
    r"\bopenssl\b[^\n|;]{0,120}\s(?:-k|-pass(?:in|out)? pass:)[ =]?[\"']?([^\s\"'$\-][^\s\"'$]{4,128})",
    r"(?i)\b(?:password|secret|key) [05789] [\"']?([^\s\"'$]{6,128})",
    r"(?i)\b(?:server-?key|server key|snmp-server community|\bpsk)[ \t]+[\"']?([^\s\"'$]{6,128})",
    r"\bsshpass\s+-p\s*[\"']?([^\s\"'$]{4,128})",
    r"(?i)\bnet use\b[^\n]{0,120}/user:\S{1,64}\s+([^\s*/]{5,64})",
)
_PUBLIC_NAME = Pattern(r"(?i)public[\w\-. ]{0,12}[\"']?\s?[:=]{1,2}>?\s?[\"']?$")
_MANIFEST = Pattern(r"(?i)\bkind[\"']?: *[\"']?secret\b")
_MANIFEST_REACH = 6000
_MANIFEST_DATA = (
    r"(?i)(?:^|\n)[ \t\-]*[\"']?(?:string)?data[\"']?:[ \t]*\{?[ \t]*\r?\n"
    r"((?:[ \t]*#[^\n]*\n)*[^\n]+(?:\n[^\n]*){0,3})"
)
_LONE_LINE = r"(?m)^[ \t]*([0-9A-Za-z_+/\-]{32,88}={0,2})[ \t]*\r?$"
_TOKEN_ENTROPY = 4.4
_SECRET_ID = (
    rf"(?i)(?:(?:secret|role)[_\-]?id|api[_\-]?key|secret|token|password)[\"']?\s*[:=]\s*[\"']?({_UUID})"
)


def _is_phrase(words: str) -> bool:
    """Whether `words` are drawn from a list, not written as a sentence."""
    return _PROSE_WORDS.isdisjoint(words.lower().split())


def _is_live(key: str) -> bool:
    return not (is_placeholder(key.rsplit("_", 1)[-1]) or is_published(key)) and len(set(key[-12:])) > 3


def _is_private_key(block: str) -> bool:
    """Whether the body is long enough for a key of its kind, and mixed as encoded bytes are."""
    head, _, body = block.partition("PRIVATE KEY")
    size = len("".join(body.split()))
    shortest = _SHORTEST_WRAPPED if any(kind in head for kind in _WRAPPED_KEYS) else _SHORTEST_KEY
    mixed = any(map(str.islower, body)) and any(map(str.isdigit, body)) and len(set(body)) > 12
    return size >= shortest and mixed and "EXAMPLE" not in head and not _repeats("".join(body.split()))


def _repeats(body: str) -> bool:
    """Whether a stretch of the front comes again: the encoding of random bytes does not repeat itself."""
    stretch = body[_STRETCH : 2 * _STRETCH]
    return len(body) > 4 * _STRETCH and body.count(stretch) > 1 and len(set(stretch)) > 8


def _holds_value(block: str) -> bool:
    """Whether the first entries of a manifest's data have a value: neither empty nor a template's."""
    lines = [line for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
    margin = min((_indent(line) for line in lines[:1]), default=0)
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _indent(line) < margin:
            return False
        name, colon, value = line.partition(":")
        value = following if value.strip()[:1] in ("|", ">") else value
        value = value.strip(" \t'\",")
        if name and colon and value and not is_placeholder(value) and not value.startswith(("[", "{", "|")):
            return True
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_bare_token(line: str) -> bool:
    """Whether a line that is nothing but one token looks drawn at random."""
    kinds = (str.islower, str.isupper, str.isdigit)
    numbers = "".join(char if char.isdigit() else " " for char in line).split()
    mixed = all(sum(map(kind, line)) >= 4 for kind in kinds) and len(numbers) >= 4
    if is_counted_out(line) or is_published(line):
        return False
    return mixed and entropy(line) >= _TOKEN_ENTROPY


RULES = RuleSet(
    (
        Rule("provider_key", Pattern("|".join(KEY_SHAPES)), _is_live),
        Rule("provider_key", Pattern(rf"{_WORD}(sk-[0-9A-Za-z]{{20,}})"), _is_live),
        Rule("jwt", Pattern(_JWT), lambda token: token.count(".") > 0),
        Rule("private_key", Pattern(_PRIVATE_KEY), _is_private_key),
        Rule(
            "connection_string",
            Pattern(_URL_LOGIN),
            lambda v: not is_placeholder(v),
        ),
        Rule("password_hash", Pattern(_HASH)),
        Rule(
            "authorization_header",
            Pattern(_HEADER),
            lambda v: is_key_value(v) and any(map(str.isdigit, v)),
        ),
        Rule(
            "authorization_header",
            Pattern(_FLAT_HEADER),
            is_key_value,
        ),
        Rule("authorization_header", Pattern(_COOKIE), is_key_value),
        Rule("key_assignment", Pattern(_SECRET_ID), lambda v: not is_placeholder(v)),
        Rule("short_code", Pattern(_SHORT_CODE), lambda v: v not in _SAMPLE_CODES),
        Rule("recovery_phrase", Pattern(_PHRASE), _is_phrase),
        Rule(
            "password_assignment",
            Pattern(VALUE.format(names=LOGIN_NAMES), WIDE_MEM),
            is_password_value,
        ),
        *(
            Rule("password_assignment", Pattern(call), is_password_value)
            for call in (*_CALLS, *_COMMAND_LINES)
        ),
        Rule(
            "key_assignment",
            Pattern(VALUE.format(names=KEY_NAMES), WIDE_MEM),
            is_key_value,
            veto=_PUBLIC_NAME,
        ),
        Rule("secret_manifest", Pattern(_MANIFEST_DATA), _holds_value, cue=_MANIFEST, reach=_MANIFEST_REACH),
        Rule("bare_token", Pattern(_LONE_LINE), _is_bare_token),
    )
)
