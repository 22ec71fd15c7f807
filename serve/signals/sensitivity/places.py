"""Postal addresses: a street with a house number, a unit, a post box, a military post office.

Knows the words for streets in some twenty languages and how numbers stand beside them. Does not know any town.
"""

from collections.abc import Iterator

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet

# Words that make a street of the name before them (English), and of the name behind them (Romance, Slavic).
_AFTER = (
    r"(?:street|avenue|road|drive|lane|court|boulevard|blvd|terrace|crescent|parkway|pkwy|highway|hwy|turnpike|"
    r"str|straße|strasse|gasse|platz|allee|ufer|vägen|väg|gatan|gata|gränd|torg|veien|vegen|vei|gate|"
    r"vej|gade|allé|tie|katu|"
    r"polku|straat|laan|weg|plein|gracht|utca|út|útja|tér|tere|köz|krt|körút|ulica|cesta|náměstí|trg|"
    r"sokak|caddesi|cad|sok|"
    r"jalan|marg|nagar|braut|vegur|stígur)"
)
_AFTER_SHORT = (
    r"(?:St|Ave|Av|Rd|Dr|Ln|Ct|Pl|Sq|Cir|Way|Close|Place|Square|Circle|Trail|Row|Mews|Hill|Gardens|Grove|"
    r"Walk|Loop|Path|Plaza|u)"
)
_BEFORE = (
    r"(?:rue|avenue|boulevard|chemin|impasse|allée|quai|via|viale|piazza|corso|vicolo|strada|calle|"
    r"avenida|avda|paseo|"
    r"plaza|carrer|camino|carretera|rúa|rua|travessa|praça|largo|estrada|rodovia|alameda|av|pátio|ronda|"
    r"cuesta|glorieta|"
    r"pasaje|vereda|beco|intrarea|aleea|șoseaua|bd|str|pl|cours|place|passage|route|contrada|circunvalación|andador|"
    r"cerrada|"
    r"ul|ulica|ulitsa|"
    r"aleja|al|os|plac|ulice|"
    r"nám|nábřeží|strada|bulevardul|calea|jalan|jl|c/)"
)
# Endings of one-word streets: Storgatan, Kiannonkatu, Hauptstraße, Brixtonlaan.
_ENDING = (
    r"(?:gatan|gata|vägen|gränd|torget|veien|vegen|vei|gaten|vej|vejen|gade|gaden|straße|strasse|"
    r"str\.|gasse|platz|allee|weg|"
    r"ring|ufer|damm|katu|tie|kuja|polku|tänav|straat|laan|plein|dijk|kade|singel|gracht|utca|braut|"
    r"vegur|stígur|hlíð|"
    r"bakken|stien|stræde|skogen|vangen|gårdsvej|backen|stigen|ská|cká|vská|ova|ného)"
)
_CAP = r"[\p{Lu}\d][\p{L}\d'\x{2019}.\-]*"
_WORD = rf"(?:{_CAP}|(?:de|da|do|di|del|della|dei|la|le|les|los|las|du|des|av|van|der|den|of|the|and)\b)"
_HOUSE = r"[0-9]{1,5}(?:[ \-/]?[A-Za-z]\b)?"
_UNIT = (
    r"(?i:suite|apt|apartment|unit|flat|ste|lgh|leilighet|piso)\.?[ \t]*(?:#|no\.?)?[ \t]*[0-9]{1,5}[A-Za-z]?"
)
_GAP = r"[ \t]+"
_NEXT_LINE = r"[ \t,|]*\r?\n?[ \t,|>]*"
_POSTCODE = (
    r"(?:[0-9]{5}(?:-[0-9]{4})?|[0-9]{3} [0-9]{2}|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}|"
    r"[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|"
    r"[0-9]{4} ?[A-Z]{2}|[0-9]{2}-[0-9]{3}|[0-9]{4})"
)
_LIVES = (
    r"(?i:\b(?:address(?:es)?(?: is| are|:| to| at)*|lives? (?:on|at|in)|living (?:on|at)|lived (?:on|"
    r"at|in)|located (?:at|on|in)|"
    r"(?:office|home|house|shop|store|restaurant|clinic)s? (?:is|are) (?:at|on|in|located at)|"
    r"moved to|moving to|arrived at|"
    r"deliver(?:ed)?(?: it)? to|ship(?:ped)?(?: it)? to|taxi to|cab to|pick (?:me|us) up (?:at|from)|"
    r"drive to|bor på|wohnt in|"
    r"habite au|vive en|abita in|corner of|resides? (?:at|on)|residing at|meet (?:me |us )?at|"
    r"mail(?:ed)? to|(?:send|sent) (?:\w+ )?to|directions (?:from|to)|place is|location (?:to|is|"
    r":)|went to|(?:seen|parked|delivered) (?:near|at)|"
    r"dir(?:ección|eccion)|endere[cç]o|adresse|anschrift|indirizzo|adres|adress|osoite|адрес)\b)"
)

# A town behind its postcode, or before it, as envelopes have them. Four digits are no year.
_NO_YEAR = r"(?:[013-9][0-9]{3}|1[0-8][0-9]{2}|2[1-9][0-9]{2})"
_TOWN = r"\p{Lu}[\p{L}'\x{2019}\-]{2,}"
_TOWNS = rf"{_TOWN}(?:[ \-/]{_TOWN}){{0,3}}"
_PLACE = (
    rf"(?:[A-Z]{{1,2}}-)?(?:[0-9]{{5}}|[0-9]{{3}} [0-9]{{2}}|[0-9]{{2}}-[0-9]{{3}}|[0-9]{{4}} ?[A-Z]{{2}},?|"
    rf"[0-9]{{4}}-[0-9]{{3}}|"
    rf"[0-9]{{5}}-?[0-9]{{3}}|{_NO_YEAR}),? (?:d[aeo]s? )?{_TOWN}|"
    rf"{_TOWNS},? (?:[A-Z]{{2,3}},? [0-9]{{4,6}}(?:-[0-9]{{4}})?|[A-Z]{{2}},? [A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|"
    rf"[A-Z]{{1,2}}[0-9][0-9A-Z]? ?[0-9][A-Z]{{2}}|[0-9]{{5,6}}(?:-[0-9]{{3,4}})?)\b|"
    rf"{_TOWNS}, (?:[A-Z]{{1,2}}[0-9][0-9A-Z]? ?[0-9][A-Z]{{2}}|{_NO_YEAR}|[0-9]{{5,6}})\b"
)
_LOWER_POSTCODE = (
    r"\b(?i:[a-z]{1,2}[0-9][0-9a-z]? [0-9][a-z]{2}|[a-z]{2} [0-9]{5}|[a-z][0-9][a-z] ?[0-9][a-z][0-9])\b"
)
_OTHER_LETTER = r"[^\P{L}\p{Latin}]"
_MONTH = (
    r"(?i:\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez|ene|abr|ago|dic|gen|mag|giu|lug|set|ott|"
    r"maj|kesä)[a-z]*\.? )"
)
_SEPARATED = r"(?:[ \t]*[,;|\n\r][ \t,;|\n\r]*)"
_COUNTED = Pattern(
    r"(?i)(?:chapter|section|table|figure|fig\.?|version|page|step|question|article|top|season|"
    r"episode|day|week|level|part|"
    r"lesson|grade|item|exercise|problem|volume|act|scene|line|row|no\.?|number|#|[$€£%=<>+*/-])\s?$"
)


# The words of addresses in letters of one's own.
_CYRILLIC = (
    r"(?i)(?:ул|улица|пр|просп|проспект|пр-т|пер|переулок|наб|набережная|набережна|алл|шосе|провулок|вул|"
    r"вулиця|бул|бульвар|шоссе|площадь|пл|аллея|майдан)"
    r"\.?[ \t]+[^\n;]{2,40}?[, ](?:д|дом|буд|будинок)?\.? ?[0-9]{1,4}\b|"
    r"(?:проспект|улица|вулиця|бульвар|набережна|шосе),? (?:д|буд)?\.? ?[0-9]{1,4}\b"
)
_IDEOGRAPHS = (
    r"\p{Han}{1,8}(?:路|街|大道|巷|弄|胡同|村)\p{Han}{0,6}[0-9A-Za-z一二三四五六七八九十百]{1,6}[号號弄座栋幢室楼]|"
    r"[都道府県市区町村][\p{Han}\p{Hiragana}\p{Katakana}]{1,10}[0-9]{1,4}(?:丁目|番地?|号|-[0-9])|"
    r"\p{Hangul}{1,8}(?:시|도|군|구)[ \p{Hangul}0-9]{0,16}(?:로|길|동|가) ?[0-9]{1,4}(?:-[0-9]{1,4})?"
)
_GREEK = (
    r"(?:\p{Greek}{3,}[ \t]+){1,3}[0-9]{1,4}"
    r"\p{L}?,{0,2} (?:\p{Greek}{2} |\p{Greek}\.\p{Greek}\. )?[0-9]{3} ?[0-9]{2}\b"
)
# An address holds one of these words, and a digit. Rules look only near them: over whole texts they are dear.
_ANCHOR = Pattern(
    rf"\b(?:(?i:{_AFTER}|{_BEFORE}|suite|apt|apartment|unit|flat|ste|lgh|leilighet|piso|psc|cmr|apo|"
    r"fpo|dpo|box|postbox|postfach|"
    rf"postboks|postal|apartado|postale)|{_AFTER_SHORT})\b|{_ENDING}[ \t]+[0-9]|{_LIVES}|"
    rf"[,\n;|][ \t]*(?:{_PLACE})|{_CYRILLIC}|{_IDEOGRAPHS}|{_GREEK}",
    max_mem=24
    << 20,  # with less its automaton is thrown away and built anew on ordinary text: ten times the time
)
_DATED = Pattern(rf"{_MONTH}[0-9]")


def _is_no_date(value: str) -> bool:
    return not _DATED.found(value)


_REACH = 96
_MOST_WINDOWS = 300
_DIGITS = frozenset(b"0123456789")

RULES = RuleSet(
    (
        Rule(
            "street_address",
            Pattern(rf"\b{_HOUSE},?{_GAP}(?:{_WORD}{_GAP}){{1,4}}(?:(?i:{_AFTER})|{_AFTER_SHORT})\b"),
            veto=_COUNTED,
        ),
        Rule(
            "street_address",
            Pattern(
                rf"\b{_HOUSE},?{_GAP}(?:[0-9]{{1,5}}{_GAP})?(?i:{_BEFORE})\.?{_GAP}(?:{_WORD}{_GAP}?){{1,4}}"
            ),
        ),
        Rule(
            "street_address",
            Pattern(rf"\b(?i:{_BEFORE})\.?{_GAP}(?:{_WORD}{_GAP}){{1,4}}(?i:n[º°o]\.? ?)?{_HOUSE}\b"),
        ),
        Rule("street_address", Pattern(rf"\b(?:{_CAP}{_GAP}){{1,3}}(?i:{_AFTER}|u)\.?{_GAP}{_HOUSE}\b")),
        Rule("street_address", Pattern(rf"\p{{Lu}}[\p{{L}}\-]+{_ENDING}{_GAP}{_HOUSE}\b")),
        Rule(
            "street_address",
            Pattern(rf"\b[0-9]{{1,5}}[^\n.!?:;]{{3,60}}?{_NEXT_LINE}{_UNIT}\b"),
        ),
        Rule("street_address", Pattern(rf"\b{_UNIT}{_NEXT_LINE}[0-9]{{1,5}}{_GAP}\p{{Lu}}[\p{{L}}\-]+")),
        Rule(
            "street_address",
            Pattern(
                rf"{_LIVES}[\s:,]{{0,4}}(?:the )?(?:[0-9]{{1,5}}{_GAP})?{_HOUSE}{_GAP}(?:{_WORD}{_GAP})"
                rf"{{0,3}}\p{{Lu}}[\p{{L}}'\x{{2019}}\-]{{2,}}"
            ),
        ),
        Rule(
            "street_address",
            Pattern(rf"{_LIVES}[\s:,]{{0,4}}(?:the )?(?:{_WORD}{_GAP}){{1,4}}[0-9]{{1,4}}[A-Za-z]?\b"),
        ),
        Rule(
            "street_address",
            Pattern(
                rf"(?:^|[\n>|])[ \t]*{_HOUSE}{_GAP}\p{{Lu}}[^\n,;:!?]{{2,40}}[,\n][^\n]{{0,40}}\b{_POSTCODE}\b"
            ),
        ),
        Rule(
            "street_address",
            Pattern(
                rf"(?:{_CAP}|{_WORD})(?:[ \t]+{_WORD}){{0,4}}[ ,]{{1,2}}(?i:nr\.? |n[º°.] ?|no\.? )?{_HOUSE}"
                rf"(?:[/\-][0-9]{{1,4}}[A-Za-z]?)?(?:[ ,.][^\n]{{0,24}}?)?{_SEPARATED}(?:{_PLACE})"
            ),
            _is_no_date,
        ),
        Rule(
            "street_address",
            Pattern(
                rf"\b[0-9]{{1,5}}[A-Za-z]?(?:[/\-][0-9]{{1,5}})?,?{_GAP}(?:{_CAP}[ \t]*){{1,5}}{_SEPARATED}"
                rf"(?:[^\n]{{2,40}}{_SEPARATED})?(?:{_PLACE})"
            ),
            veto=_COUNTED,
        ),
        Rule(
            "street_address",
            Pattern(
                rf"\b(?i:{_BEFORE})\.?{_GAP}(?:{_WORD}[ \t]*){{1,5}}{_SEPARATED}[^\n]{{0,32}}?(?:{_PLACE})"
            ),
        ),
        Rule("street_address", Pattern(rf"{_CYRILLIC}|{_IDEOGRAPHS}|{_GREEK}")),
        Rule(
            "street_address",
            Pattern(
                rf"\b(?i:{_BEFORE})\.?{_GAP}(?:{_WORD}[ \t]*){{1,5}}, ?(?i:n[º°.o]\.? ?)?(?:{_HOUSE}|S/N)\b"
            ),
        ),
        Rule(
            "postal_box",
            Pattern(
                r"(?i)\b(?:psc|cmr|unit)[ \t]+[0-9]{2,5},?[ \t]+box[ \t]+[0-9]{1,5}|\b(?:apo|fpo|dpo)"
                r"[ \t,]+(?:ap|ae|aa)\b[ \t]*[0-9]{5}|"
                r"\b(?:p\.? ?o\.? ?box|post ?box|postfach|postboks|box postal|apartado|caixa postal|"
                r"casella postale|boîte postale)"
                r"[ \t]+#?[0-9]{1,6}\b"
            ),
        ),
    )
)

# Too wide for the gate of the others, whose automaton would outgrow its memory on ordinary text.
WIDE = RuleSet(
    (
        # Behind the word for an address: other letters with a number, or a number and a postcode in any case.
        Rule(
            "street_address",
            Pattern(
                rf"{_LIVES}[\s:,\"']{{0,6}}[^.?!]{{0,40}}?(?:{_OTHER_LETTER}[^?!]{{0,60}}?\p{{Nd}}|\p{{Nd}}[^?!]{{0,60}}?{_OTHER_LETTER})"
            ),
        ),
        Rule(
            "street_address",
            Pattern(
                rf"{_LIVES}[\s:,\"']{{0,6}}(?:[\p{{L}}\p{{M}}.'\-]+[ ,]{{1,2}}){{1,5}}[0-9]{{1,5}}[A-Za-z]?[,\s]{{1,3}}"
                rf"[^?!;]{{0,32}}?\b(?i:[0-9]{{5,6}}|[0-9]{{3}} [0-9]{{2}}|"
                rf"[0-9]{{4,5}}-[0-9]{{3}}|[a-z]{{1,2}}[0-9][0-9a-z]? [0-9][a-z]{{2}})\b"
            ),
        ),
        Rule(
            "street_address",
            Pattern(
                r"\b[0-9]{1,5}[a-z]? (?:[\p{L}'\-]+ ){1,3}?[\p{L}'\-]+[, \n]{1,3}(?:[\p{L}'\-]+[, \n]{1,3}){1,3}"
                + _LOWER_POSTCODE
            ),
            veto=_COUNTED,
        ),
    ),
    hint=Pattern(rf"{_LIVES}|{_LOWER_POSTCODE}"),
)


def suspects(data: bytes) -> bool:
    """Whether the text has a word of addresses and a digit."""
    return not _DIGITS.isdisjoint(data) and _ANCHOR.found(data)


def find(data: bytes) -> list[str]:
    """The rules that are true of the first place where one is. Too many places to look at are found as an address."""
    for number, window in enumerate(_windows(data)):
        if number == _MOST_WINDOWS:
            return ["street_address"]
        if found := RULES.find(window) or WIDE.find(window):
            return found
    return []


def _windows(data: bytes) -> Iterator[bytes]:
    """The surroundings of each anchor that have a digit; anchors close together share one window."""
    left, right = 0, -1
    for start, end in _ANCHOR.spans(data):
        if right >= 0 and (start - _REACH > right or right - left > 8 * _REACH):
            yield from _with_digit(data[left:right])
            right = -1
        if right < 0:
            left = max(0, start - _REACH)
        right = min(len(data), end + _REACH)
    if right >= 0:
        yield from _with_digit(data[left:right])


def _with_digit(window: bytes) -> Iterator[bytes]:
    if not _DIGITS.isdisjoint(window):
        yield window
