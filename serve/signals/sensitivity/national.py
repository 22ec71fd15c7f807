"""National identity numbers of persons, by shape and checksum; where those are weak, by a cue nearby.

Knows the numbers of Europe and the United States. Does not know encodings.
"""

from collections.abc import Callable
from typing import Any

from stdnum import luhn
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

from serve.signals.sensitivity.digits import compact
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule

_GAP = r"[ .\-_/]{0,3}"

_SSN_CUE = Pattern(r"(?i)\bssn\b|social[\s-]+security|\bss#|\bitin\b|tax(?:payer)?[\s-]+id")
_CPR_CUE = Pattern(r"(?i)\bcpr\b|personnummer|dansk|danish|født")
_SE_CUE = Pattern(r"(?i)person(?:al)?[\s-]?(?:nummer|nr|number|id)|samordning|\bpnr\b|född|swedish")
_DE_CUE = Pattern(r"(?i)steuer|\bidnr\b|\btin\b|identifikationsnummer|tax[\s-]+id")
_PL_CUE = Pattern(r"(?i)pesel")
_NL_CUE = Pattern(r"(?i)\bbsn\b|burgerservice|sofi")
_NHS_CUE = Pattern(r"(?i)\bnhs\b|national health")
# Words for documents and numbers of persons. What stands behind one, with a digit in it, is such a number.
_DOCUMENT_CUE = Pattern(
    r"(?i)(?:passport|driv(?:er|ing)(?:'?s)?\s+(?:licen[sc]e|permit)|\bd\.?l\.?(?:n|:| no| num| ?#)|"
    r"licen[sc]e ?(?:no|num|nr|id|plate|#|:|is\b)|travel (?:document|permit)|(?:identification|"
    r"identity|id|tax|personal|"
    r"citizens?|resident|social|insurance|security|pension|voter|national) ?(?:code|number|no\b|nr\b|num\b|card|#|:)|"
    r"social security|(?:national|citizen|person|tax|passport|licen[sc]e|ssn)_?(?:id|no|num|"
    r"number)\b|(?:'s|\bmy|\byour|\bhis|\bher) id\b|"
    r"identity card|\bid card|personalausweis|reisepass|führerschein|aufenthaltstitel|permis de conduire|"
    r"carte d'identité|passeport|pasaporte|(?:carnet|permiso|licencia) de conducir|patente di guida|"
    r"carta d'identità|passaporto|rijbewijs|paspoort|identiteitskaart|prawo jazdy|dow[oó]d osobist|paszport|"
    r"carta de condução|passaporte|bilhete de identidade|\bcnh\b|körkort|førerkort|kørekort|ajokort|passnummer|"
    r"passinumero|(?:national|personal|citizen|government|voter|resident|alien|tax(?:payer)?)[ \-]?"
    r"(?:id|identification|identity|registration)\b|social (?:security|insurance) (?:no|num)|\bid[ \-]?number|"
    r"(?:employee|student|member|patient|insurance|policy) (?:id|no\.|number)|steuer-?(?:id|nummer)|"
    r"sozialversicherungs\w*|rentenversicherungs\w*|krankenversicherten\w*|versichertennummer|personnummer|"
    r"personnr|henkilötunnus|cpr-?n\w*|sécurité sociale|numéro fiscal|\bdni\b|\bnie\b|\bnif\b|\bcpf\b|\bcurp\b|\brfc\b|"
    r"\brut\b|\bcuil\b|\bcuit\b|\bpesel\b|\bbsn\b|\bssn\b|\bitin\b|\bnino\b|\baadhaar\b|\bpan (?:card|no|number)|"
    r"\bpps(?:n| number)|\btfn\b|codice fiscale|"
    r"rodné číslo|\bcnp\b|\boib\b|\begn\b|\bemso\b|"
    r"身份证|護照|护照|マイナンバー|주민등록번호)"
)
_DOCUMENT = (
    r"(?i)\b(?:(?:[a-z]{1,4}[ \-]?)?[0-9]{1,4}[ \-./]?)?(?:[a-z]{1,4} ?)?[0-9]{2,}"
    r"(?:[ \-./]?[0-9][0-9a-z]{0,4}|[ \-./]?[a-z]\b|"
    r"[a-z]{1,3}[0-9]){1,4}[a-z]{0,2}\b"
)
# A label, not the verb: biographies are full of dates on which somebody was born.
_BIRTH = (
    r"(?i)(?:\bd\.?o\.?b\b\.?|dates? of birth|birth ?dates?|\bbirthday|födelsedatum|fødselsdato|"
    r"syntymäaika|geburtsdatum|"
    r"geboren am|date de naissance|\bnée? le|fecha de nacimiento|data di nascita|data de nascimento|geboortedatum|"
    r"data urodzenia|datum narození|születési (?:idő|dátum)|data nașterii|doğum tarihi|дата (?:рождения|народження)|"
    r"ημερομηνία γέννησης|出生日期|生年月日|생년월일|تاريخ الميلاد|\bi was born on|\bborn:)"
    r"(?:[\"'*]{0,3}\s{0,2}[:=(\-]?\s{0,2}[\"'*]{0,2}| is | är | ist | est | es )"
    r"([0-9]{1,4}(?:[-/.]|\. ?|年|년 ?)[0-9]{1,2}(?:[-/.]|\. ?|月|월 ?)[0-9]{1,4}|"
    r"[0-9]{1,2}\.?(?:st|nd|rd|th)? (?:de )?\p{L}{3,10}\.?,? (?:de )?[12][0-9]{3}|"
    r"\p{L}{3,10}\.? [0-9]{1,2},? [12][0-9]{3})"
)
# With numbers alone no biography writes it.
_BORN = r"(?i)\bborn (?:on )?((?:[0-9]{1,2}[/.\-]){2}(?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}(?:[/.\-][0-9]{1,2}){2})\b"


_CALENDAR = Pattern(
    r"(?:19|20)[0-9]{2}[\-./][0-9]{1,2}[\-./][0-9]{1,2}|[0-9]{1,2}[\-./][0-9]{1,2}[\-./](?:19|20)?[0-9]{2}|"
    r"(?:19|20)[0-9]{2} ?- ?(?:19|20)[0-9]{2}"
)


def _checked(module: Any) -> Callable[[str], bool]:
    """The validity test of a stdnum module, for values with any separators."""
    return lambda value: bool(module.is_valid(compact(value)))


def _is_personnummer(value: str) -> bool:
    """Also a coordination number, whose day is counted from 60."""
    number = compact(value)
    if number[-6:-4] > "60":
        number = f"{number[:-6]}{int(number[-6:-4]) - 60:02d}{number[-4:]}"
        return luhn.is_valid(compact(value)[-10:]) and _is_date(number[-10:-4])
    return bool(personnummer.is_valid(number[:-4] + ("+" if "+" in value else "-") + number[-4:]))


def _is_date(six: str) -> bool:
    return "01" <= six[2:4] <= "12" and "01" <= six[4:6] <= "31"


def _is_cpr(value: str) -> bool:
    return bool(cpr.is_valid(compact(value)))


def _is_hetu(value: str) -> bool:
    number = value.replace(" ", "")
    return bool(hetu.is_valid(number) or hetu.is_valid(number, allow_temporary=True))


def _is_dni_or_nie(value: str) -> bool:
    return bool(dni.is_valid(compact(value)) or nie.is_valid(compact(value)))


def _is_nino(value: str) -> bool:
    return compact(value).upper()[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _spaced(count: int) -> str:
    return rf"[0-9](?:[ ]?[0-9]){{{count - 1}}}"


_SSN_DASHED = rf"{_spaced(3)} ?- ?{_spaced(2)} ?- ?{_spaced(4)}"
_SSN_LOOSE = r"[0-9](?:[ .\-_/]{0,2}[0-9]){8}"
# Days and months, with what temporary numbers add to them.
_DAY = r"(?:0[1-9]|[1256][0-9]|3[01]|4[1-9]|7[01])"
_MONTH = r"(?:0[1-9]|1[0-2]|4[1-9]|5[0-2]|8[1-9]|9[0-2])"
_ELEVEN = rf"{_DAY}{_MONTH}[0-9]{{2}}[ \-]?[0-9]{{5}}"
_DATE = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]|6[1-9]|[78][0-9]|9[01])"
_ELEVEN_SPELT = r"[0-7](?: [0-9]){10}"
_NIR = (
    rf"[1-478]{_GAP}[0-9]{{2}}{_GAP}(?:0[1-9]|1[0-2]|[2-9][0-9]){_GAP}(?:0[1-9]|[1-9][0-9]|2[AB]){_GAP}"
    rf"[0-9]{{3}}{_GAP}[0-9]{{3}}{_GAP}[0-9]{{2}}"
)

RULES: tuple[Rule, ...] = (
    Rule("us_ssn", Pattern(_SSN_DASHED), _checked(ssn), edge="digits"),
    Rule(
        "us_ssn",
        Pattern(_SSN_LOOSE),
        _checked(ssn),
        cue=_SSN_CUE,
        grouped=True,
        edge="digits",
    ),
    Rule(
        "se_personnummer",
        Pattern(rf"(?:19|20)[0-9]{{2}}{_DATE} ?[-+]? ?[0-9]{{4}}|[0-9]{{2}}{_DATE} ?[-+] ?[0-9]{{4}}"),
        _is_personnummer,
        grouped=True,
        edge="digits",
    ),
    Rule(
        "se_personnummer",
        Pattern(r"[0-9]{6} ?[0-9]{4}"),
        _is_personnummer,
        grouped=True,
        cue=_SE_CUE,
        edge="digits",
    ),
    Rule("no_fodselsnummer", Pattern(_ELEVEN), _checked(fodselsnummer), grouped=True, edge="digits"),
    Rule("no_fodselsnummer", Pattern(_ELEVEN_SPELT), _checked(fodselsnummer), edge="digits"),
    Rule("dk_cpr", Pattern(r"[0-9]{6} ?-? ?[0-9]{4}"), _is_cpr, cue=_CPR_CUE, grouped=True, edge="digits"),
    Rule(
        "fi_hetu",
        Pattern(r"(?i)[0-3][0-9](?:0[1-9]|1[0-2])[0-9]{2} ?[\-+A-FU-Y] ?[0-9]{3}[0-9A-Y]"),
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
        Pattern(_SSN_LOOSE),
        _checked(bsn),
        cue=_NL_CUE,
        grouped=True,
        edge="digits",
    ),
    Rule(
        "gb_nhs",
        Pattern(r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}"),
        _checked(nhs),
        grouped=True,
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
        Pattern(_DOCUMENT),
        lambda value: 6 <= sum(map(str.isdigit, value)) <= 20 and not _CALENDAR.covers(value),
        cue=_DOCUMENT_CUE,
        reach=40,
        edge="word",
    ),
    Rule(
        "date_of_birth",
        Pattern(_BIRTH),
    ),
    Rule("born_on", Pattern(_BORN)),
)
