"""Traces of somebody's life or work: accounts in paths, mail headers, employers, own hosts, facts about oneself.

Knows the words around such a trace. Does not know names of persons.
"""

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.people import is_made_up
from serve.signals.sensitivity.rule import Rule, RuleSet

_CAP = r"\p{Lu}[\p{L}\p{N}&'\x{2019}.\-]+"
_NAMED = rf"{_CAP}(?:[ \t]{_CAP}){{0,3}}"
_ACCOUNT = r"(?:[A-Za-z]:(?:\\+|/)[Uu]sers(?:\\+|/)|/home/|/Users/)([^\\/\s\"'<>:|$%{}]{2,40})[\\/]"
_NOBODY = frozenset(
    (
        *(
            "user",
            "username",
            "your_username",
            "yourusername",
            "yourname",
            "your-name",
            "you",
            "me",
            "name",
            "root",
        ),
        *(
            "admin",
            "administrator",
            "ubuntu",
            "ec2-user",
            "debian",
            "pi",
            "runner",
            "node",
            "app",
            "public",
            "default",
        ),
        *(
            "shared",
            "jovyan",
            "vagrant",
            "appuser",
            "test",
            "guest",
            "alice",
            "bob",
            "john",
            "git",
            "docker",
            "vscode",
        ),
    )
)
_LEGAL_FORM = (
    r"(?:Inc|Incorporated|Ltd|Limited|LLC|LLP|PLC|Corp|GmbH(?: & Co\. KG)?|AG|KG|AB|ApS|A/S|ASA|Oyj?|SARL|"
    r"S\.?r\.?l\.|S\.?p\.?A\.|"
    r"B\.V\.|N\.V\.|Pty|Sp\. z o\.o\.|s\.r\.o\.|Lda|Ltda|S\.A\.|S\.L\.|SAS|Pvt|Bhd|Kft|d\.o\.o\.)"
)
_EMPLOYER = (
    r"(?i:\b(?:(?:i|we|he|she)(?:'m| am|'ve| have| was| is)? (?:currently )?(?:work(?:s|ed|ing)?|employed|"
    r"intern(?:ed|ing)?|"
    r"study(?:ing)?|studied|enrolled)(?: as [^.\n]{2,40})? (?:at|for)|"
    r"(?:employees?|manager|engineer|analyst|consultant|director|intern|student|founder|ceo|cto) (?:at|of)|"
    r"(?:my|our) (?:company|employer|startup|firm|business|university|school|client|organi[sz]ation),?(?: is)?"
    r"(?: called| named)?|(?:position|role|job|internship|interview(?:ing)?|apply(?:ing)?|applied|vacancy|opening) "
    r"(?:at|with|to)|ich arbeite (?:bei|für)|jag (?:jobbar|arbetar) (?:på|hos)|je travaille (?:chez|pour)|"
    r"trabajo (?:en|para)|lavoro (?:presso|per)|ik werk (?:bij|voor)|pracuję w|trabalho (?:na|no|em))) (?:the )?"
)
_NOT_A_FIRM = Pattern(
    r"(?i)^(?:the|a|an|this|that|home|night|least|first|university|college|school|google|amazon|microsoft|apple|"
    r"facebook|meta|i|it|we|he|she|they|you|my|our|his|her|if|and|but)$"
)
_OWN_PLACE = (
    r"(?i:\bi(?:'m| am)? (?:currently )?(?:live|living|reside|based|born) in |\bi(?:'m| am) (?:originally )?from |"
    r"\b(?:my|our) (?:home ?town|house|flat|apartment|office) (?:is )?in |\bich (?:wohne|lebe) in |\bjag bor i |"
    r"\bj'habite (?:à|en) |\bvivo en |\babito a |\bik woon in |\bmieszkam w |\bmoro em |\basun )"
)
_AMOUNT = (
    r"(?:[$€£¥]|usd|eur|gbp|sek|chf|dkk|nok|kr\.?) ?[0-9][0-9.,' ]*k?|[0-9][0-9.,' ]{2,}k? ?(?:[$€£]|"
    r"dollars|euros?|pounds|usd|eur|gbp|sek|chf|kr|kronor|zł)"
)
_ILLNESS = (
    r"(?:hiv|aids|cancer|tumou?r|leuk[a]?emia|diabet\w*|depressi\w+|bipolar\w*|schizophreni\w*|epileps\w+|hepatitis|"
    r"herpes|chlamydia|syphilis|gonorrh\w+|ptsd|ocd|adhd|anorexia|bulimia|autis\w+|alzheimer\w*|"
    r"parkinson\w*|dementia|lupus|"
    r"crohn\w*|asthma|endometriosis|hypertension|arthritis|kidney (?:disease|failure)|heart (?:disease|failure|attack)|"
    r"stroke|miscarriage|abortion|addict\w+|alcoholi\w+|pregnan\w+|std|sti|multiple sclerosis|chemotherapy|dialysis)"
)
_WHO = (
    r"(?:i|my (?:wife|husband|son|daughter|mother|father|mom|mum|dad|brother|sister|partner|girlfriend|boyfriend|"
    r"patient|client|employee|colleague|coworker|boss|neighbou?r|friend|child|kid|baby|grandmother|"
    r"grandfather|uncle|aunt))"
)
_OWN_HEALTH = (
    rf"(?i)\b{_WHO}(?:'ve| have| has)?(?: recently| just)?(?:'m| am| was| were| been| got| is)?(?: recently|"
    rf" just| also)* "
    r"(?:diagnosed with|tested positive for|being treated for|hospitali[sz]ed (?:for|with)|prescribed)|"
    rf"\b(?:{_WHO}) (?:have|has|had|suffers? from|am suffering from|is suffering from|"
    rf"struggles? with)(?: \w+){{0,2}} {_ILLNESS}\b|"
    r"\bmy (?:hiv status|medical records?|(?:blood )?test results? (?:show|came|say|are)|psychiatrist|"
    r"therapist|oncologist|chemo\w*)\b|"
    rf"\b(?:bei mir wurde|ich leide an|jag har fått diagnosen|jag lider av|on m'a diagnostiqué|je souffre (?:de|d')|"
    r"me diagnosticaron|padezco|mi hanno diagnosticato|soffro di|ik ben gediagnosticeerd|ik lijd aan|"
    r"zdiagnozowano u mnie|"
    r"choruję na|fui diagnosticad[oa]|sofro de|minulla on todettu|sairastan)\b"
)
_OWN_MONEY = (
    r"(?i)\b(?:my|his|her|their|our employee's) (?:(?:annual|monthly|yearly|current|base|net|gross|household) )?"
    r"(?:salary|income|wage|pay|pension|rent|savings|account balance|bank balance|debt|mortgage|loan|credit card debt|"
    rf"net worth|bonus)(?: balance)?(?: is| was| of|:| =)(?: (?:about|around|now|only|currently))? ?(?:{_AMOUNT})|"
    rf"\b(?:i|he|she) (?:earn|earns|make|makes|owe|owes)(?: about| around)? (?:{_AMOUNT})(?: (?:a|"
    rf"per) (?:year|month|hour))?|"
    r"\bmy credit score (?:is|was|dropped)|\bi (?:filed|am filing|have filed) for bankruptcy|"
    rf"\b(?:mein (?:gehalt|einkommen)|min (?:lön|inkomst)|mon salaire|mi (?:sueldo|salario)|"
    rf"il mio stipendio|mijn salaris|"
    rf"moja pensja|meu salário)[^.\n]{{0,16}}[0-9]{{3,}}"
)
_HEADERS = (
    r"(?:^|\n)[ \t>*]*(?i:from|von|från|fra|de|da|van|od|lähettäjä)[*]{0,2}: ?[^\n]{2,120}\n(?:[^\n]{0,160}\n){0,3}?"
    r"[ \t>*]*(?i:to|sent|date|subject|an|gesendet|betreff|till|skickat|ämne|à|envoyé|objet|para|asunto|a|oggetto|aan|"
    r"onderwerp|do|temat|assunto)[*]{0,2}: ?[^\n]{2,}"
)
_REDACTION = (
    r"<PRESIDIO_[A-Z_]+>|<(?:PERSON|EMAIL_ADDRESS|PHONE_NUMBER|US_SSN|CREDIT_CARD|IBAN_CODE|"
    r"DATE_OF_BIRTH)(?:_[0-9]+)?>|"
    r"\[(?:REDACTED|PERSON|NAME REDACTED|PATIENT|SSN)(?:[_ ]?[0-9]+)?\]"
)
_OWN_HOST = (
    r"(?i)\bhttps?://(?:10\.[0-9]{1,3}|172\.(?:1[6-9]|2[0-9]|3[01])|192\.168)(?:\.[0-9]{1,3}){1,2}(?::[0-9]+)?/[\w\-]|"
    r"\b(?:https?://|ssh://|\\\\)[\w.\-]+\.(?:corp|intra|intranet|internal|lan|local)\b|"
    r"\bhttps?://(?:intranet|wiki|jira|"
    r"confluence|gitlab|jenkins|nexus)\.[\w\-]+\.[\w.\-]+/[\w\-]"
)


_ORGANISATION = (
    rf"\b{_CAP}(?:[ \t]{_CAP}){{0,2}}[ \t](?:Company|Corporation|Group|University|Institute|Bank|Hospital|"
    rf"Foundation|College|"
    r"Association|Ministry|Clinic|Airlines|Secondary School|High School|Consulting|Holdings|Partners|"
    r"Solutions|Technologies|"
    r"Logistics|Insurance)\b"
)
_CITED = (
    rf"\p{{Lu}}[\p{{L}}'\x{{2019}}\-]+ et al\b|{_CAP}, (?:\p{{Lu}}\.[ ,]?){{1,3}}[ ,]*(?:&|\.{{3}}|"
    rf"\([12][0-9]{{3}}|{_CAP}, \p{{Lu}}\.)"
)
_LINK = (
    r"(?i)https?://[\w.\-]+[^\s\"'<>()]{0,120}?(?:/(?:share|status|posts?|p|d|u|user|users|invite|doc|ticket|order|id|uclip|video|jobs?/view|companies/[\w\-]+)/[\w\-]{6,}|/@[\w.\-]{3,}|/watch[/?]|[?&](?:u?id|"
    r"user|pid|token|ref)=)|"
    r"\b(?:gitlab\.com|linkedin\.com/in|instagram\.com|facebook\.com|tiktok\.com|t\.me|onlyfans\.com)/@?[\w.\-]{4,}"
)
_FICTION_TOO = frozenset(
    ("account_path", "mail_headers", "redaction_mark", "own_host", "own_health", "own_money")
)


def suspects(data: bytes) -> bool:
    """Whether any rule could fire."""
    return RULES.suspects(data)


def find(data: bytes) -> list[str]:
    """The rules that are true of `data`; in a made-up text a firm or a town is nobody's."""
    found = RULES.find(data)
    if found and is_made_up(data):
        return [rule for rule in found if rule in _FICTION_TOO]
    return found


def _is_firm(name: str) -> bool:
    return not _NOT_A_FIRM.covers(name.split()[0].strip(".,"))


RULES = RuleSet(
    (
        Rule("account_path", Pattern(_ACCOUNT), lambda name: name.lower() not in _NOBODY),
        Rule("mail_headers", Pattern(_HEADERS)),
        Rule("redaction_mark", Pattern(_REDACTION)),
        Rule("own_host", Pattern(_OWN_HOST)),
        Rule("company_name", Pattern(rf"\b{_NAMED},? {_LEGAL_FORM}(?:[.,;:)\s]|$)")),
        Rule("affiliation", Pattern(rf"{_EMPLOYER}({_NAMED})"), _is_firm),
        Rule("organisation", Pattern(_ORGANISATION)),
        Rule("cited_name", Pattern(_CITED)),
        Rule("link_to_one", Pattern(_LINK)),
        Rule("own_place", Pattern(rf"{_OWN_PLACE}({_NAMED})")),
        Rule("own_health", Pattern(_OWN_HEALTH)),
        Rule("own_money", Pattern(_OWN_MONEY)),
    )
)
