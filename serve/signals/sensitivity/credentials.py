"""Secrets: keys of known shape, private keys, connection strings and assigned passwords.

Knows what keys look like and what stands in for them in examples. Does not know whether a
key is live.
"""

from serve.signals.sensitivity.assigned import KEY_NAMES, LOGIN_NAMES, VALUE, is_key_value, is_password_value
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.placeholder import entropy, is_placeholder
from serve.signals.sensitivity.rule import Rule, RuleSet

_WORD = r"(?:^|[^0-9A-Za-z])"

_KEY_SHAPES = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
    r"gh[pousr]_[0-9A-Za-z]{30,}",
    r"github_pat_[0-9A-Za-z_]{22,}",
    r"gl(?:pat|dt|rt|cbt|ptt|oas|soat|ft|imt|agent)-[0-9A-Za-z_\-]{18,}",
    r"xox[abeoprs](?:-[0-9A-Za-z]+)*-[0-9A-Za-z]{8,}",
    r"xapp-[0-9]-[0-9A-Z]+-[0-9]+-[0-9a-z]{16,}",
    r"hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]{16,}",
    r"(?:sk|rk|pk|whsec)_(?:live|test|prod)_[0-9A-Za-z]{16,}",
    r"whsec_[0-9A-Za-z]{24,}",
    r"AIza[0-9A-Za-z_\-]{33,}",
    r"ya29\.[0-9A-Za-z_\-]{20,}",
    r"GOCSPX-[0-9A-Za-z_\-]{20,}",
    r"sk-ant-[0-9A-Za-z_\-]{16,}",
    r"sk-(?:proj|svcacct|admin|or|lf)-[0-9A-Za-z_\-]{16,}",
    r"hf_[0-9A-Za-z]{30,}",
    r"npm_[0-9A-Za-z]{30,}",
    r"pypi-[0-9A-Za-z_\-]{32,}",
    r"hv[sbr]\.[0-9A-Za-z_\-]{20,}",
    r"nvapi-[0-9A-Za-z_\-]{32,}",
    r"sl\.[0-9A-Za-z_\-]{60,}",
    r"SG\.[0-9A-Za-z_\-]{16,}\.[0-9A-Za-z_\-]{16,}",
    r"sgp_(?:[0-9a-zA-Z]+_)?[0-9a-f]{32,}",
    r"sq[pua]_[0-9a-f]{32,}",
    r"dop_v1_[0-9a-f]{40,}",
    r"dckr_pat_[0-9A-Za-z_\-]{20,}",
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{50,}",
    r"EAACEdEose0cBA[0-9A-Za-z]+",
    r"(?:AccountKey|SharedAccessKey)=[0-9A-Za-z+/]{30,}",
    r"sha256~[0-9A-Za-z_\-]{40,}",
    r"[0-9]{8,10}:AA[0-9A-Za-z_\-]{33}",
    r"\b(?:SK|AC)[0-9a-f]{32}\b|\bkey-[0-9a-f]{32}\b|\b[0-9a-f]{32}-us[0-9]{1,2}\b",
    r"discord(?:app)?\.com/api/webhooks/[0-9]{15,}/[0-9A-Za-z_\-]{30,}",
    r"webhook\.office\.com/webhookb2/[0-9A-Za-z@\-]{36,}/IncomingWebhook/[0-9a-f]{32}",
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}|NRAK-[0-9A-Z]{27}|CFPAT-[0-9A-Za-z_\-]{43}|API-[0-9A-Z]{26}\b",
    r"dp\.(?:pt|st|ct|sa)\.[0-9A-Za-z]{40,}|sntry[su]_[0-9A-Za-z+/=_]{40,}|dt0c01\.[0-9A-Z]{24}\.[0-9A-Z]{64}",
    r"ATATT3[0-9A-Za-z_\-=]{60,}|ATBB[0-9A-Za-z]{28,}|LTAI[0-9A-Za-z]{16,20}\b|AKID[0-9A-Za-z]{32}",
    r"rubygems_[0-9a-f]{48}|xkeysib-[0-9a-f]{64}|pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_\-]{32,}|"
    r"ops_eyJ[0-9A-Za-z]{60,}",
    r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_\-=]{60,}|sq0[a-z]{3}-[0-9A-Za-z_\-]{22,}|\bEAA[0-9A-Za-z]{60,}",
    r"dapi[0-9a-f]{32}|nfp_[0-9A-Za-z]{36}|bkua_[0-9a-f]{40}|oy2[0-9a-z]{43}|"
    r"CCIPAT_[0-9A-Za-z]{22}_[0-9a-f]{40}",
    r"A3-[0-9A-Z]{6}-(?:[0-9A-Z]{11}|[0-9A-Z]{6}-[0-9A-Z]{5})-[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{5}",
    r"sonar\.(?:login|token)=[0-9a-f]{40}",
    r"glc_[0-9A-Za-z+/]{32,}|glsa_[0-9A-Za-z]{32}",
    r"(?:r8|gsk|xai|pplx|tvly|fw|lin_api|ntn|secret|figd|rnd|pat|dapi|shippo_live)[_\-][0-9A-Za-z]{32,}",
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JWT = r"eyJ[0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{8,}(?:\.[0-9A-Za-z_\-]*)?"
_PRIVATE_KEY = (
    r"(-{4,5} ?BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"\s*(?:\\+[nr])*\s*[0-9A-Za-z+/=:\\\-, \r\n_]{24,})"
)
# The shortest keys of these two containers are twice this long; others may be as short as an Ed25519 seed.
_WRAPPED_KEYS = ("OPENSSH", "PGP")
_SHORTEST_WRAPPED, _SHORTEST_KEY = 160, 40
_URL_LOGIN = r"(?i)[a-z][a-z0-9+.\-]*://[^\s:/@\"'<>{}$]*:([^\s@/\"'<>{}]{3,256})@[^\s\"'/@]"
_HASH = (
    r"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}|\$(?:[156y]|apr1|"
    r"gy)\$[^\s$:]*\$(?:[^\s$:]+\$)?[./A-Za-z0-9]{20,}|"
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
_LITERAL = r"[\"'`]([^\"'`\s]{5,128})[\"'`]"
_CALLS = (
    rf"(?i){LOGIN_NAMES}\w{{0,16}}(?:\.set)?\(\s*{_LITERAL}\s*\)",
    rf"(?i){LOGIN_NAMES}[^\n]{{0,48}}\?[^\n]{{1,48}}:\s*{_LITERAL}",
    rf"(?i){LOGIN_NAMES}\s*</name>\s*<value>([^<\s]{{5,128}})</value>",
)
_COMMAND_LINES = (
    r"\bmysql\w*\b[^\n|;]{0,120}\s-p([^\s\-\"'$][^\s]{4,64})",
    r"\bcurl\b[^\n|;]{0,200}\s(?:-u|--user)[ =]?[\"']?[^\s:\"'$]{1,64}:([^\s\"'$]{4,128})",
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


def _is_live(key: str) -> bool:
    return not is_placeholder(key.rsplit("_", 1)[-1]) and len(set(key[-12:])) > 3


def _is_private_key(block: str) -> bool:
    """Whether the body is long enough for a key of its kind, and mixed as encoded bytes are."""
    head, _, body = block.partition("PRIVATE KEY")
    size = len("".join(body.split()))
    shortest = _SHORTEST_WRAPPED if any(kind in head for kind in _WRAPPED_KEYS) else _SHORTEST_KEY
    mixed = any(map(str.islower, body)) and any(map(str.isdigit, body)) and len(set(body)) > 12
    return size >= shortest and mixed and "EXAMPLE" not in head


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
    return mixed and entropy(line) >= _TOKEN_ENTROPY


RULES = RuleSet(
    (
        Rule("provider_key", Pattern("|".join(_KEY_SHAPES)), _is_live),
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
        Rule("key_assignment", Pattern(_SECRET_ID)),
        Rule(
            "password_assignment",
            Pattern(VALUE.format(names=LOGIN_NAMES)),
            is_password_value,
        ),
        *(
            Rule("password_assignment", Pattern(call), is_password_value)
            for call in (*_CALLS, *_COMMAND_LINES)
        ),
        Rule("key_assignment", Pattern(VALUE.format(names=KEY_NAMES)), is_key_value, veto=_PUBLIC_NAME),
        Rule("secret_manifest", Pattern(_MANIFEST_DATA), _holds_value, cue=_MANIFEST, reach=_MANIFEST_REACH),
        Rule("bare_token", Pattern(_LONE_LINE), _is_bare_token),
    )
)
