"""Contact data: e-mail addresses, telephone numbers and public network addresses.

Knows which of them are only examples. Does not know whose they are.
"""

import ipaddress

import phonenumbers

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet, prefixes

_EMAIL = r"[\p{L}\p{N}._%+\-]+(?:@| @ )(?:[\p{L}\p{N}\-]+\.)+\p{L}{2,}"
_EMAIL_SPELT = (
    r"(?i)[a-z0-9._%+\-]+ ?[\[({<] ?at ?[\])}>] ?[a-z0-9\-]+ ?(?:[\[({<] ?dot ?[\])}>]|\.) ?[a-z]{2,}"
)

# Only names that stand for "some domain" and nothing else: mail.com and acme.com have customers.
_PLACEHOLDER_WORDS = (
    "example test localhost domain yourdomain mydomain company yourcompany mycompany foo bar foobar"
)
_PLACEHOLDER_DOMAINS = frozenset(_PLACEHOLDER_WORDS.split())
_RESERVED_ENDINGS = frozenset(("example", "test", "invalid", "localhost", "local"))
_NOT_PEOPLE = frozenset(("git", "hg", "svn", "noreply", "no-reply", "donotreply"))
# At a domain that stands for any, only these are nobody: made-up people there are made up like real ones.
_NOBODY_WORDS = """
    a b me you your my user username user1 user2 name firstname lastname first last first.last firstname.lastname
    name.surname foo bar baz test tester testing email mail e-mail myemail youremail your.email my.email your_email
    example sample admin administrator root info contact support help hello sales office team noreply no-reply
    postmaster webmaster abuse someone somebody anyone nobody john jane john.doe jane.doe johndoe janedoe doe joe alice
    bob carol dave eve charlie mallory alice.smith recipient sender from to customer client member account owner
    security billing press jobs hr legal privacy feedback subscribe newsletter notifications alerts demo dev api bot
    """
_NOBODY = frozenset(_NOBODY_WORDS.split())
# Endings of files that are no top-level domain: "logo@2x.png" is not an address.
_FILE_ENDINGS = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html", "txt")
)

_PHONE_REGIONS = ("SE", "NO", "DK", "FI", "DE", "FR", "GB", "NL", "ES", "IT", "CH", "AT", "BE", "AU", "IN")
_FICTIONAL = Pattern(
    r"^(?:19|20)[0-9]{2}-(?:19|20)[0-9]{2}$|(?:^|[^0-9])555[ .\-)]{0,2}01[0-9]{2}|0?1234567|(?:0{6}|1{6}|9{6})"
)
_DIALLED_BEHIND = Pattern(r"(?i)[ ]?(?:x|ext|#)[^0-9]{0,8}[0-9]{1,6}$")
_NON_DIGITS = Pattern(r"[^0-9+]+")
_PHONE_CUE = Pattern(
    r"(?i)(?:phone|\btel\b|telephone|mobile|\bcell|call(?: me| him| her| us)?|whatsapp|signal|\bsms\b|"
    r"\btext|fax|contact|"
    r"reach|telefon|mobil|puhelin|téléphone|portable|teléfono|móvil|\btlf|handy)"
)
# "My number", "call me" and the words for telephones where English has others.
_OTHER_LANGUAGES = (
    r"(?:mein\w*|min|mitt|mon|mio|mijn|mój|moj\w*|meu|mi|můj) (?:\w+ )?(?:nummer|numéro|número|numero|numer\w*|"
    r"čísl\w+)|(?:mobil|handy|telefon|gsm|gsm-)nummer\w*|puhelinnumero\w*|telefoonnummer|telefono|cellulare|"
    r"telefone|celular|telemóvel|telefón|gsm|mobiel|rufnummer|numer telefonu|telefonní|ring mig|ring meg|ring til|"
    r"ruf mich|rufen sie|llám\w+|llame|appel\w+|joignable|chiam\w+|bel (?:me|ons|mij)|zadzwoń|lig\w{0,4}|soita|"
    r"zavolej\w*|hívj\w*|sună\w*|тел|телефон|電話|电话|手机|연락처|전화"
)
# So clear a cue that the number need not be one that is given out today.
_PHONE_LABEL = (
    r"(?i)(?:(?:\b(?:tele)?phone|\btel|\bph|\bmob|\bmessage at|\bmobile|\bcell|\bfax|\bwhatsapp|\bsms|\boffice|\bdesk|"
    r"\bdirect line|\btelefon\w*|\bmobil|"
    r"\bpuhelin|téléphone|teléfono|móvil|\btlf|\bhandy|hotline|extension)(?: number| no\.?| nr\.?| #)"
    r"?\s{0,2}[:#.=|]?\s{0,3}"
    r"(?:is |at |on )?[\s*\"']{0,4}|\b(?:(?:voice ?mail|messages?|sms|texts?|calls?) (?:from|to)|"
    r"pick(?:s|ed|ing)? up (?:at|on)|answer\w* (?:at|on)|"
    r"unsubscribe|dial+ed|dialing|called|phoned|texted|rang)\s{0,2}|\b(?:call|text|ring|dial|"
    r"phone|reach|contact)(?: me| us| him|"
    r" her| them| you| back|"
    r" my \w+| \w+)?(?: back)?(?: at| on|:)?\s{0,2}|\bnumber(?: is|:|'s)\s{0,2}|"
    rf"\b(?:{_OTHER_LANGUAGES})\b[^\n.;0-9+(]{{0,24}})"
)
_PHONE_WORD = Pattern(
    r"(?i)\b(?:(?:tele)?phones?|phoned|tel|call(?:ed|ing|er)|call (?:me|us|him|her|them|back|from|on|"
    r"at|to|my \w+)|dial(?:l?ed|l?ing)?|fax|mobile|cell(?:phone)?|sms|whatsapp|hotline|"
    r"voice ?mails?|ring|rang|text message|messages? (?:on|to|from)|otp|registered|answer(?:s|ed|"
    r"ing)?|pick(?:s|ed|ing)? up|"
    r"h[au]ng up|unsubscribe|unsubscribed|call ?back|contact (?:details|info\w*|number)?|"
    r"emergency contact|texted|texting|"
    r"whats ?app(?:ed)?|line for|(?:my|your|his|her|their|our|"
    r"this|the|new|that) (?:\w+ )?(?:number|line|landline))\b"
)
_OTHER_NUMBER = Pattern(
    r"(?i)(?:order|invoice|isbn|issn|doi|tracking|ticket|serial|model|part|case|ref(?:erence)?|"
    r"version|account|id|"
    r"function|line|port|page|step|[=(\[{][0-9. ,\-]{0,8})[\s:.#]*(?:no|nr|number)?[\s:.#]*$"
)
_EXTENSION = r"(?: ?(?:x|ext\.?|extension|#) ?[0-9]{1,6})?"
# Three, three and four digits with dashes or brackets are nothing else, given out or not.
_DASHED = Pattern(
    r"(?:1[ .\-])?(?:\([2-9][0-9]{2}\)[ \-]{0,2}|[2-9][0-9]{2}[\-.])[0-9]{3}[\-.][0-9]{4}" + _EXTENSION
)
_MOST_PHONES = 64
_LONG_NUMBER = 10
# A telephone number is not the tail of a decimal, a date, a range or a longer number.
_MIDWAY = Pattern(r"[0-9][.\-/,]$")

_WELL_KNOWN_ADDRESSES_WORDS = "8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 4.2.2.2 1.2.3.4 255.255.255.0"
_WELL_KNOWN_ADDRESSES = frozenset(_WELL_KNOWN_ADDRESSES_WORDS.split())
_VERSION = Pattern(
    r"(?i)(?:version|\bver\b|\bv|release|build|firmware|section|chapter|§|[a-z]/|[=~<>^]=|@|\bsec\.|"
    r"kapitel)[\s.:\"'v=]{0,4}$"
)


def _is_email(value: str) -> bool:
    local, _, domain = value.replace(" ", "").lower().rpartition("@")
    *front, name, ending = domain.split(".")
    placeholder = (
        (name in _PLACEHOLDER_DOMAINS and not front)
        or "example" in (name, *front)
        or ending in _RESERVED_ENDINGS
    )
    return not (placeholder and local in _NOBODY) and ending not in _FILE_ENDINGS and local not in _NOT_PEOPLE


def _is_international(value: str) -> bool:
    """Whether a front of `value` is a number: the match may run on into the next number."""
    return not _FICTIONAL.found(value) and any(map(_is_possible, prefixes(value)))


def _is_possible(value: str) -> bool:
    """Whether the country exists and its numbers may be that long, and the digits are not those of a sum."""
    try:
        number = phonenumbers.parse(_plus(value), None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) or (
        _is_written_out(value) and phonenumbers.is_possible_number(number)
    )


def _is_written_out(value: str) -> bool:
    """In groups, or as long as country, area and line are behind a sign: a sum has neither."""
    digits = value.removeprefix("+")
    return not digits.isdigit() or (
        value.startswith("+") and len(digits) >= _LONG_NUMBER and len(set(digits)) > 3
    )


def _plus(value: str) -> str:
    number = _DIALLED_BEHIND.replace(value, lambda _: "")
    return "+" + _NON_DIGITS.replace(number, lambda _: "").lstrip("+").removeprefix("00")


def _is_american(value: str) -> bool:
    return not _FICTIONAL.found(value) and (_valid_in(value, "US") or bool(_DASHED.covers(value)))


def _is_national(value: str) -> bool:
    return not _FICTIONAL.found(value) and any(_valid_in(value, region) for region in _PHONE_REGIONS)


def _is_cued(value: str) -> bool:
    return not _FICTIONAL.found(value) and any(map(_is_any, prefixes(value)))


def _is_any(value: str) -> bool:
    return _valid_in(_plus(value), None) or _is_american(value) or _is_national(value)


def _valid_in(number: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def _is_public_address(value: str) -> bool:
    address = _address(value) or _address(value.rstrip(":"))
    if address is None or value in _WELL_KNOWN_ADDRESSES or (address.version == 4 and _is_version(value)):
        return False
    return address.is_global and not address.is_multicast


def _is_whole_address(value: str) -> bool:
    """Eight groups written out, of which few have only the two digits of a hardware address or a dump."""
    address = _address(value)
    wide = sum(len(group) > 2 for group in value.split(":"))
    return address is not None and wide >= 4 and not (address.is_private or address.is_link_local)


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def _is_version(value: str) -> bool:
    """Small numbers throughout, or an ending in zero, as versions and networks have."""
    numbers = list(map(int, value.split(".")))
    return numbers[-1] == 0 or (numbers[0] < 10 and max(numbers) < 32)


_NATIONAL = r"\(?0[0-9]{1,4}\)?[ \-/.][0-9]{2,8}(?:[ \-][0-9]{2,4}){0,4}"
_AMERICAN = r"(?:1[ .\-])?\(?[2-9][0-9]{2}\)?[ .\-]{0,2}[0-9]{3}[ .\-][0-9]{4}" + _EXTENSION
# The cue stands behind: "… is my new number".
_AFTERTHOUGHT = (
    r"(?i)([+(]{0,2}[0-9](?:[ .\-/()]{0,3}[0-9]){6,14})[ ,\-]{1,4}(?:is|was|are|the|(?:has|have) been)\b "
    r"(?:(?:that|this|the|still|my|his|her|their|your|our|right|new|old|correct|work|home|direct) ){0,4}"
    r"(?:number|phone|cell|mobile|line|landline|fax|disconnected|callback|contact)\b"
)
# French pairs; an area code in brackets.
_DISTINCT = r"0[1-9](?:[. ][0-9]{2}){4}|\([0-9]{2,4}\) ?[0-9]{3,5}[ \-][0-9]{4}"

RULES = RuleSet(
    (
        Rule("email", Pattern(_EMAIL), _is_email),
        Rule(
            "email",
            Pattern(_EMAIL_SPELT),
            lambda value: "example" not in value.lower(),
        ),
        Rule(
            "phone",
            Pattern(r"(?:\+|\b00) ?[1-9][0-9]{0,2}(?:[ .\-/()]{0,3}[0-9]){6,13}" + _EXTENSION),
            _is_international,
            grouped=True,
            veto=_MIDWAY,
            edge="digits",
            most_checked=_MOST_PHONES,
        ),
        Rule(
            "phone",
            Pattern(_AMERICAN),
            _is_american,
            veto=_MIDWAY,
            edge="digits",
            most_checked=_MOST_PHONES,
        ),
        Rule(
            "phone",
            Pattern(_NATIONAL),
            lambda value: 9 <= sum(map(str.isdigit, value)) <= 11 and _is_national(value),
            veto=_MIDWAY,
            edge="digits",
            most_checked=_MOST_PHONES,
        ),
        Rule(
            "phone",
            Pattern(r"\(?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14}"),
            _is_cued,
            grouped=True,
            cue=_PHONE_CUE,
            reach=32,
            veto=_MIDWAY,
            edge="digits",
            most_checked=_MOST_PHONES,
        ),
        Rule(
            "phone",
            Pattern(rf"{_PHONE_LABEL}([+(]{{0,2}}[0-9](?:[ .\-/()]{{0,3}}[0-9]){{6,14}}{_EXTENSION})"),
            lambda value: not _FICTIONAL.found(value) and len(set(value)) > 3,
            edge="digits",
        ),
        Rule(
            "phone",
            Pattern(r"\(?[0-9]{2,4}\)?(?:[ .\-]{1,2}[0-9]{2,4}){1,4}"),
            lambda value: 7 <= sum(map(str.isdigit, value)) <= 13 and not _FICTIONAL.found(value),
            cue=_PHONE_WORD,
            reach=96,
            veto=_OTHER_NUMBER,
            edge="digits",
        ),
        Rule("phone", Pattern(_AFTERTHOUGHT), lambda value: not _FICTIONAL.found(value), edge="digits"),
        Rule(
            "phone",
            Pattern(_DISTINCT),
            lambda value: not _FICTIONAL.found(value),
            veto=_MIDWAY,
            edge="digits",
        ),
        Rule(
            "ip_address",
            Pattern(r"(?:[0-9]{1,3}\.){3,7}[0-9]{1,3}"),
            _is_public_address,
            edge="digits",
            veto=_VERSION,
        ),
        Rule(
            "ip_address",
            Pattern(r"(?i)[23][0-9a-f]{3}:[0-9a-f]{1,4}:[0-9a-f:]{2,32}"),
            _is_public_address,
            edge="word",
        ),
        Rule(
            "ip_address", Pattern(r"(?i)(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"), _is_whole_address, edge="word"
        ),
    )
)
