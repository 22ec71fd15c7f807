"""Structured identifiers: payment cards, bank accounts and national numbers, by checksum.

Knows shapes and check digits. Does not know encodings, and leaves free text alone.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from stdnum import iban as iban_number
from stdnum import luhn, numdb
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet, prefixes

_GAPS = str.maketrans("", "", " .-_/,|+")
_TO_BLANKS = str.maketrans("._-/,|+", "       ")
_WIDTH = Pattern(r"[^0-9]+")

# Edges are checked, not matched: a consumed edge would hide a neighbour that shares it, and
# groups make a hit slow.
_GAP = r"[ .\-_/]{0,3}"
_BREAK = r"[ .\-_/]{1,3}"
_ISSUERS = "1234568"
_MOST_CUED = 256

_CARD_CUE = Pattern(
    r"(?i)card|visa|master|amex|cvv|cvc|expir|kredit|carte|tarjeta|betalkort|kortnum|luottokort|\bpan\b"
)
_SSN_CUE = Pattern(r"(?i)\bssn\b|social[\s-]+security|\bss#|\bitin\b|tax(?:payer)?[\s-]+id")
_CPR_CUE = Pattern(r"(?i)\bcpr\b|personnummer|dansk|danish|født")
_SE_CUE = Pattern(r"(?i)person(?:al)?[\s-]?(?:nummer|nr|number|id)|samordning|\bpnr\b|född|swedish")
_DE_CUE = Pattern(r"(?i)steuer|\bidnr\b|\btin\b|identifikationsnummer|tax[\s-]+id")
_PL_CUE = Pattern(r"(?i)pesel")
_NL_CUE = Pattern(r"(?i)\bbsn\b|burgerservice|sofi")
_NHS_CUE = Pattern(r"(?i)\bnhs\b|national health")
_DOCUMENT_CUE = Pattern(
    r"(?i)(?:passport|driv(?:er|ing)(?:'?s)?\s+licen[sc]e|identity card|id card|personalausweis|reisepass|"
    r"passeport|pasaporte|körkort|førerkort|passnummer)"
)
_BIRTH = (
    r"(?i)(?:\bdob\b|date of birth|birth ?date|\bborn(?: on)?|född|fødselsdato|født|syntynyt|"
    r"geburtsdatum|geboren am|"
    r"date de naissance|fecha de nacimiento)[\"'*]{0,3}\s{0,2}[:=(\-]?\s{0,2}[\"'*]{0,2}"
    r"([0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{2,4})"
)


def _digits(value: str) -> str:
    return value.translate(_GAPS)


def _checked(module: Any) -> Callable[[str], bool]:
    """The validity test of a stdnum module, for values with any separators."""
    return lambda value: bool(module.is_valid(_digits(value)))


def _is_card(value: str) -> bool:
    number = _digits(value)
    return (
        12 <= len(number) <= 19
        and _has_issuer(number)
        and len(set(number)) > 1
        and bool(luhn.is_valid(number))
    )


def _has_issuer(number: str) -> bool:
    """Visa, Mastercard, Amex, JCB, Diners, Discover, UnionPay, Maestro; each with its length."""
    two, four, size = int(number[:2]), int(number[:4]), len(number)
    if number[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
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


def _spells_card(value: str) -> bool:
    """Whether a run of single digits or pairs is a card number, give or take a stray at either end.

    Only whole runs: among all windows of a long list of small numbers some pass by chance.
    """
    groups = value.translate(_TO_BLANKS).split()
    runs = (groups, groups[1:], groups[:-1], groups[1:-1])
    return any(len(set(map(len, run))) == 1 and _is_card("".join(run)) for run in runs)


def _is_iban(value: str) -> bool:
    """Whether the front is an IBAN of its country's length: the match may run on into the next word."""
    compact = _digits(value).upper()
    size = _iban_size(compact[:2])
    return 0 < size <= len(compact) and bool(iban_number.is_valid(compact[:size]))


@cache
def _iban_size(country: str) -> int:
    fields = [field.get("bban", "") for _, field in numdb.get("iban").info(country)]
    return (
        4 + sum(int(width) for width in _WIDTH.replace(fields[0], lambda _: " ").split()) if fields[0] else 0
    )


def _is_personnummer(value: str) -> bool:
    """Also a coordination number, whose day is counted from 60."""
    number = _digits(value)
    if number[-6:-4] > "60":
        number = f"{number[:-6]}{int(number[-6:-4]) - 60:02d}{number[-4:]}"
        return luhn.is_valid(_digits(value)[-10:]) and _is_date(number[-10:-4])
    return bool(personnummer.is_valid(number[:-4] + ("+" if "+" in value else "-") + number[-4:]))


def _is_date(six: str) -> bool:
    return "01" <= six[2:4] <= "12" and "01" <= six[4:6] <= "31"


def _is_cpr(value: str) -> bool:
    return bool(cpr.is_valid(_digits(value)))


def _is_hetu(value: str) -> bool:
    compact = value.replace(" ", "")
    return bool(hetu.is_valid(compact) or hetu.is_valid(compact, allow_temporary=True))


def _is_dni_or_nie(value: str) -> bool:
    return bool(dni.is_valid(_digits(value)) or nie.is_valid(_digits(value)))


def _is_nino(value: str) -> bool:
    return _digits(value).upper()[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _spaced(count: int) -> str:
    return rf"[0-9](?:[ ]?[0-9]){{{count - 1}}}"


_SSN_DASHED = rf"{_spaced(3)} ?- ?{_spaced(2)} ?- ?{_spaced(4)}"
_SSN_LOOSE = r"[0-9](?:[ .\-_/]{0,2}[0-9]){8}"
_ELEVEN = r"[0-7][0-9][01458][0-9]{3}[ \-]?[0-9]{5}|[0-9](?: [0-9]){10}"
_NIR = (
    rf"[1-478]{_GAP}[0-9]{{2}}{_GAP}[0-9]{{2}}{_GAP}[0-9][0-9AB]{_GAP}"
    rf"[0-9]{{3}}{_GAP}[0-9]{{3}}{_GAP}[0-9]{{2}}"
)
_NINE = r"[0-9](?:[ .\-_/]{0,3}[0-9]){8}"
_TEN = r"[0-9]{6,8}[ \-+]{0,3}[0-9]{4}"
_ANY_ELEVEN = r"[0-9](?:[ .\-]{0,2}[0-9]){10}"

RULES = RuleSet(
    (
        Rule("payment_card", Pattern(r"[0-9]{13,19}"), _is_card, edge="digits"),
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
            "iban",
            Pattern(r"(?i)[a-z]{2}[ \-]?[0-9]{2}(?:[ \-]?[0-9a-z]){11,30}"),
            _is_iban,
            grouped=True,
        ),
        Rule("us_ssn", Pattern(rf"{_SSN_DASHED}"), _checked(ssn), edge="digits"),
        Rule(
            "us_ssn",
            Pattern(rf"{_SSN_LOOSE}"),
            _checked(ssn),
            cue=_SSN_CUE,
            grouped=True,
            edge="digits",
        ),
        Rule(
            "se_personnummer",
            Pattern(r"(?:19|20)[0-9]{2}[01][0-9]{3} ?[-+]? ?[0-9]{4}|[0-9]{2}[01][0-9]{3} ?[-+] ?[0-9]{4}"),
            _is_personnummer,
            edge="digits",
        ),
        Rule(
            "se_personnummer",
            Pattern(r"[0-9]{6} ?[0-9]{4}"),
            _is_personnummer,
            cue=_SE_CUE,
            edge="digits",
        ),
        Rule("no_fodselsnummer", Pattern(rf"{_ELEVEN}"), _checked(fodselsnummer), edge="digits"),
        Rule("dk_cpr", Pattern(r"[0-9]{6} ?-? ?[0-9]{4}"), _is_cpr, cue=_CPR_CUE, edge="digits"),
        Rule(
            "fi_hetu",
            Pattern(r"(?i)[0-3][0-9][01][0-9]{3} ?[\-+A-FU-Y] ?[0-9]{3}[0-9A-Y]"),
            _is_hetu,
            edge="word",
        ),
        Rule(
            "de_idnr",
            Pattern(r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}"),
            _checked(idnr),
            edge="digits",
        ),
        Rule("de_idnr", Pattern(r"[1-9][0-9]{10}"), _checked(idnr), cue=_DE_CUE, edge="digits"),
        Rule(
            "fr_nir",
            Pattern(rf"(?i){_NIR}"),
            _checked(nir),
            grouped=True,
            edge="digits",
        ),
        Rule(
            "es_dni_nie",
            Pattern(r"[0-9]{8}-?[A-Z]|[XYZxyz][ \-]?[0-9]{7}[ \-]?[A-Za-z]"),
            _is_dni_or_nie,
            edge="word",
        ),
        Rule(
            "it_codice_fiscale",
            Pattern(
                r"(?i)[a-z]{3} ?[a-z]{3} ?[0-9lmnp-v]{2}[abcdehlmprst][0-9lmnp-v]{2} ?"
                r"[a-z][0-9lmnp-v]{3} ?[a-z]"
            ),
            _checked(codicefiscale),
            edge="word",
        ),
        Rule("pl_pesel", Pattern(r"[0-9]{11}"), _checked(pesel), cue=_PL_CUE, edge="digits"),
        Rule(
            "nl_bsn",
            Pattern(rf"{_SSN_LOOSE}"),
            _checked(bsn),
            cue=_NL_CUE,
            grouped=True,
            edge="digits",
        ),
        Rule(
            "gb_nhs",
            Pattern(r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}"),
            _checked(nhs),
            cue=_NHS_CUE,
            edge="digits",
        ),
        Rule(
            "gb_nino",
            Pattern(r"(?i)[a-ceghj-prtwxyz][a-ceghj-nprtwxyz](?:[ \-]?[0-9]{2}){3}[ \-]?[a-d]"),
            _is_nino,
            edge="word",
        ),
        Rule(
            "identity_document",
            Pattern(r"[A-Za-z]{0,3}[0-9]{6,12}"),
            cue=_DOCUMENT_CUE,
            reach=48,
            edge="word",
        ),
        Rule(
            "date_of_birth",
            Pattern(_BIRTH),
        ),
    )
)
