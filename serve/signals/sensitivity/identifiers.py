"""Structured identifiers: payment cards, bank accounts and national numbers.

Knows only which tables belong together. Does not know any shape itself.
"""

from serve.signals.sensitivity import finance, national
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import RuleSet

# Five digits or more with what may part them, the front of an Italian code or of an IBAN, or a date behind its label.
_HINT = Pattern(
    r"(?i)[0-9](?:[ .\-_/,|+]{0,3}[0-9]){4}|[a-z]{3} ?[a-z]{3} ?[0-9lmnp-v]{2}[abcdehlmprst][0-9lmnp-v]{2}|"
    r"[a-z]{2}[ \-]?[0-9]{2}[ \-]?[0-9a-z]|birth|\bd\.?o\.?b\b|\bborn\b|nascita|nascimento|"
    r"geboren|naiss|née? le|geboorte|urodz|naroz|születés|naște|doğum|"
    r"рожд|народж|γέννησ|出生|生年月日|생년월일|الميلاد|födelse|fødsel|syntymä|geburt|naissance|nacimiento"
)

RULES = RuleSet((*finance.RULES, *national.RULES), hint=_HINT)
