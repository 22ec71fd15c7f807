"""Secrets: keys of known shape, private keys, connection strings and assigned passwords.

Knows what keys look like and what stands in for them in examples. Does not know whether a
key is live.
"""

from serve.signals.sensitivity.assigned import KEY_NAMES, LOGIN_NAMES, VALUE, is_key_value, is_password_value
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.placeholder import is_placeholder
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
    r"sonar\.(?:login|token)=[0-9a-f]{40}",
    r"glc_[0-9A-Za-z+/]{32,}|glsa_[0-9A-Za-z]{32}",
    r"(?:r8|gsk|xai|pplx|tvly|fw|lin_api|ntn|secret|figd|rnd|pat|dapi|shippo_live)[_\-][0-9A-Za-z]{32,}",
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JWT = r"eyJ[0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{8,}(?:\.[0-9A-Za-z_\-]*)?"
_PRIVATE_KEY = (
    r"-{4,5} ?BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"\s*(?:\\[nr])*\s*([0-9A-Za-z+/=:\\\-, \r\n]{24,})"
)
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
_SECRET_ID = (
    rf"(?i)(?:(?:secret|role)[_\-]?id|api[_\-]?key|secret|token|password)[\"']?\s*[:=]\s*[\"']?({_UUID})"
)


def _is_live(key: str) -> bool:
    return not is_placeholder(key.rsplit("_", 1)[-1]) and len(set(key[-12:])) > 3


RULES = RuleSet(
    (
        Rule("provider_key", Pattern("|".join(_KEY_SHAPES)), _is_live),
        Rule("provider_key", Pattern(rf"{_WORD}(sk-[0-9A-Za-z]{{20,}})"), _is_live),
        Rule("jwt", Pattern(_JWT), lambda token: token.count(".") > 0),
        Rule("private_key", Pattern(_PRIVATE_KEY), lambda body: len(set(body)) > 8),
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
        Rule("key_assignment", Pattern(VALUE.format(names=KEY_NAMES)), is_key_value),
        Rule(
            "secret_manifest",
            Pattern(
                r"(?is)kind[\"']?: *[\"']?Secret\b.*\bdata"
                r"[\"']?: *\{?.{0,400}?\n *[\"']?[\w.\-]+[\"']?: *[\"']?[a-z0-9+/]{6,}"
            ),
        ),
    )
)
