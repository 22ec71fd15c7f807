"""Values assigned to secret-sounding names: `password = …`, `"api_key": …`, `<token>…</token>`.

Knows which assigned values look like real secrets. Does not know key shapes.
"""

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.placeholder import entropy, is_placeholder, is_reference

LOGIN_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|passwd|pwd|\bpw\b|\bpass\b|_pass\b|kennwort|passwort|bindpw|"
    r"(?:store|key|db|user|admin|root|smtp|mail|ssh|ftp|wifi)_?pass\b|(?:auto)?logonpassword|\bpsk\b|"
    r"lösenord|mot de passe|contraseña|salasana|adgangskode|passord|wachtwoord|hasło|\bhaslo\b|\bsenha\b|"
    r"palavra-passe|\bparola\b|\bheslo\b|jelszó|lozinka|пароль|密码|密碼|パスワード|비밀번호)"
)
KEY_NAMES = (
    r"(?:api[_\-. ]?key|apikey|secret|token|access[_\-. ]?key|account[_\-. ]?key|private[_\-. ]?key|"
    r"encryption[_\-. ]?key|(?:app|admin|write|server|service|shared|client|deploy|storage|hmac|aes|crypt|"
    r"cipher|session|cookie|jwt|ssh|integration|application|functions?|host)[_\-. ]?key|"
    r"signing[_\-. ]?key|master[_\-. ]?key|auth[_\-]?key|license[_\-. ]?key|credentials?|\b_?auth\b|"
    r"\bsalt\b|webhook|\bsas\b|\bmaster\b|[_\-]pat\b|schlüssel|nyckel|\bclé\b|\bclave\b|密钥|令牌)"
)

# name, up to three closing marks, a sign of assignment, then a quoted or bare value.
VALUE = (
    r"(?i){names}[\w\-]{{0,24}}[\\\"'`\])*]{{0,4}}[ \t]{{0,8}}"
    r"(?:(?::=|=>|={{1,3}}|\?:|:|>|,|\b(?:is:?|ist|lautet|est|es|er|jest|on)\b|[ \t](?:är|è|é)[ \t])[ \t]{{0,8}}\\?|"
    r"[ \t]{{1,8}})"
    r"(?:[A-Za-z\[\]]{{1,12}}[ \t]?=[ \t]?|[^\s\"']{{1,48}}[ \t]\?:[ \t])?"
    r"(\"[^\"\n]{{4,512}}\"|'[^'\n]{{4,512}}'|`[^`\n]{{4,512}}`|[^\s\"'`,;<>]{{5,512}})"
)

# "Pass --fix to", "Pass arrays/objects as": pass is a verb there.
_SPOKEN = Pattern(r"--[a-z]+(?:-[a-z]+)*|[a-z]+/[a-z]+")
_QUOTES = "\"'`"
_UUID = Pattern(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TOKEN = Pattern(r"\{?[0-9A-Za-z._~+/=@$!%^&*#:|\-]+\}?")
_KEY_LENGTH = 16
_KEY_ENTROPY = 3.2
_SHORTEST_DRAWN = 10
_ALL_KINDS = 4
_MARKS = "!@#%^&*"
_PASSWORD_LENGTH = 6
_PASSWORD_KINDS = 2


def is_password_value(value: str) -> bool:
    """Whether `value` could be a password: a literal of two kinds of character, no stand-in."""
    literal, quoted = _literal(value)
    if len(literal) < _PASSWORD_LENGTH or " " in literal or is_placeholder(literal):
        return False
    if not quoted and (is_reference(literal) or _SPOKEN.covers(literal)):
        return False
    return _kinds(literal) >= _PASSWORD_KINDS and any(not char.isalpha() for char in literal)


def is_key_value(value: str) -> bool:
    """Whether `value` could be a key: long, dense and without the shape of code."""
    literal, quoted = _literal(value)
    if quoted and _is_drawn(literal):
        return True
    if len(literal) < _KEY_LENGTH or is_placeholder(literal) or not _TOKEN.covers(literal):
        return False
    if not quoted and is_reference(literal):
        return False
    return any(map(str.isdigit, literal)) and entropy(literal) >= _KEY_ENTROPY and not _UUID.covers(literal)


def _is_drawn(literal: str) -> bool:
    """Whether a short literal has all four kinds of character, as only passwords have."""
    return (
        _SHORTEST_DRAWN <= len(literal) < _KEY_LENGTH
        and _kinds(literal) == _ALL_KINDS
        and _TOKEN.covers(literal)
        and any(char in _MARKS for char in literal)
        and not is_placeholder(literal)
    )


def _literal(value: str) -> tuple[str, bool]:
    quoted = value[:1] in _QUOTES
    return (value[1:-1].rstrip("\\") if quoted else value.rstrip(".)];:!?\\")), quoted


def _kinds(literal: str) -> int:
    tests = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
    return sum(any(map(test, literal)) for test in tests)
