"""Payment cards and bank accounts, by issuer, length and checksum.

Knows how such numbers are grouped and disguised. Does not know whose they are.
"""

from functools import cache

import phonenumbers
from stdnum import iban as iban_number
from stdnum import luhn, numdb
from stdnum.iso7064 import mod_97_10

from serve.signals.sensitivity.digits import compact
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, prefixes

_TO_BLANKS = str.maketrans("._-/,|+", "       ")
_WIDTH = Pattern(r"[^0-9]+")
_SAMPLES = frozenset(("1234567812345678", "1234567890123456", "2345678923456789"))
_CARD_NAME = Pattern(
    r"(?i)\b(?:credit|debit|payment|bank|gift)?[ \-]?card\b|\bvisa\b|master ?card|\bamex\b|"
    r"kreditkarte|tarjeta|\bcarte\b|carta di credito"
)
_BREAK = r"[ .\-_/]{1,3}"
_ISSUERS = "1234568"
_SHORTEST_IBAN, _LONGEST_IBAN, _IBAN_DIGITS = 15, 34, 10
_MOST_CUED = 256
# Encoded bytes are full of fronts of an IBAN, and clearing one is cheap.
_MOST_IBANS = 10_000
_CARD_CUE = Pattern(
    r"(?i)card|visa|master|amex|cvv|cvc|expir|kredit|carte|tarjeta|betalkort|kortnum|luottokort|\bpan\b"
)


def _is_card(value: str) -> bool:
    number = compact(value)
    return (
        12 <= len(number) <= 19
        and _has_issuer(number)
        and len(set(number)) > 1
        and bool(luhn.is_valid(number))
    )


def _has_issuer(number: str) -> bool:
    """Visa, Mastercard, Amex, JCB, Diners, Discover, UnionPay, Mir, Maestro; each with its length."""
    two, four, size = int(number[:2]), int(number[:4]), len(number)
    if size == 12:
        return two in (56, 57, 58) or four in (5018, 5020, 5038, 6304, 6390, 6759, 6761, 6762, 6763)
    if number[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2200 <= four <= 2204 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if four in (1800, 2131):
        return size == 15
    if two in (30, 36, 38, 39):
        return size in (14, 16)
    return (two in (35, 62, 64, 65, 81) and size >= 16) or two in (50, 56, 57, 58, 60, 63, 67, 68)


def _holds_card(value: str) -> bool:
    """Whether a front of `value` is a card number: the match may run on into the next number."""
    return value[0] in _ISSUERS and any(map(_is_card, prefixes(value)))


def _is_written_card(value: str) -> bool:
    """Beside the word for a card the grouping is enough: one digit typed wrong does not make it harmless."""
    number = compact(value)
    return number[0] in "23456789" and len(set(number)) > 3 and number not in _SAMPLES


def _is_named_iban(value: str) -> bool:
    """Behind its name any account number, checksum or not."""
    number = compact(value)
    return sum(map(str.isdigit, number)) >= 8 and len(set(number)) > 4


def _spells_card(value: str) -> bool:
    """Whether a run of single digits or pairs is a card number, give or take a stray at either end.

    Only whole runs: among all windows of a long list of small numbers some pass by chance.
    """
    groups = value.translate(_TO_BLANKS).split()
    runs = (groups, groups[1:], groups[:-1], groups[1:-1])
    return any(len(set(map(len, run))) == 1 and _is_card("".join(run)) for run in runs)


def _is_iban(value: str) -> bool:
    """Whether the front is an IBAN of its country's length: the match may run on into the next word."""
    number = compact(value).upper()
    size = _iban_size(number[:2])
    return (0 < size <= len(number) and bool(iban_number.is_valid(number[:size]))) or any(
        map(_checks_out, prefixes(value))
    )


def _checks_out(value: str) -> bool:
    """Whether `value` is built like an IBAN, of any country and length, and its checksum is right."""
    number = compact(value).upper()
    return (
        _SHORTEST_IBAN <= len(number) <= _LONGEST_IBAN
        and number[:2] in phonenumbers.SUPPORTED_REGIONS
        and sum(map(str.isdigit, number)) >= _IBAN_DIGITS
        and bool(mod_97_10.is_valid(number[4:] + number[:4]))
    )


@cache
def _iban_size(country: str) -> int:
    fields = [field.get("bban", "") for _, field in numdb.get("iban").info(country)]
    return (
        4 + sum(int(width) for width in _WIDTH.replace(fields[0], lambda _: " ").split()) if fields[0] else 0
    )


RULES: tuple[Rule, ...] = (
    Rule("payment_card", Pattern(r"[0-9]{12,19}"), _is_card, edge="digits"),
    Rule(
        "payment_card",
        Pattern(
            rf"[2-68][0-9]{{3}}(?:{_BREAK}[0-9]{{4}}){{3}}(?:{_BREAK}[0-9]{{1,3}})?|"
            rf"3[0-9]{{3}}{_BREAK}[0-9]{{6}}{_BREAK}[0-9]{{4,5}}"
        ),
        _holds_card,
        grouped=True,
        edge="digits",
    ),
    Rule(
        "payment_card",
        Pattern(rf"[0-9]{{1,2}}(?:{_BREAK}[0-9]{{1,2}}){{6,}}"),
        _spells_card,
        edge="digits",
    ),
    Rule(
        "payment_card",
        Pattern(r"[1-68](?:[ .\-_/,|]{0,3}[0-9]){11,18}"),
        _holds_card,
        cue=_CARD_CUE,
        edge="digits",
        grouped=True,
        most_checked=_MOST_CUED,
    ),
    Rule(
        "payment_card",
        Pattern(r"[1-68][0-9]{3}(?:[ \-][0-9]{4}){2,3}(?:[ \-][0-9]{1,3})?"),
        _is_card,
        edge="digits",
    ),
    Rule(
        "payment_card",
        Pattern(r"[0-9]{4}(?:[ \-][0-9]{4}){3}|3[0-9]{3}[ \-][0-9]{6}[ \-][0-9]{5}"),
        _is_written_card,
        cue=_CARD_NAME,
        edge="digits",
    ),
    Rule(
        "iban",
        Pattern(
            r"(?i)\biban\b[^0-9a-z\n]{0,4}(?:is|number|no|nr|code|ist|est|"
            r"es)?[^0-9a-z\n]{0,4}([a-z]{2}[0-9]{2}(?:[ \-]?[0-9a-z]){11,30})"
        ),
        _is_named_iban,
    ),
    Rule(
        "iban",
        Pattern(r"(?i)[a-z]{2}[ .\-]?[0-9]{2}(?:[ .\-]?[0-9a-z]){11,30}"),
        _is_iban,
        grouped=True,
        most_checked=_MOST_IBANS,
    ),
)
