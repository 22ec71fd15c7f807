"""Document labels: "CONFIDENTIAL", "internal use only" and their kin where a label would stand.

Knows marking words in eight languages and the positions of a marking, an element of HTML or XML and the
subject of a mail among them. Does not flag the same words in prose.
"""

import re

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet

_CONFIDENTIAL = (
    r"(?:(?:strictly|highly|company|commercial(?:ly)?|business|most) )?(?:private (?:and|"
    r"&) )?confidential|strictly private|top secret|"
    r"trade secrets?|attorney[- ]client privileged?|privileged (?:and|&) confidential|"
    r"(?:company )?proprietary(?: (?:and|&) confidential)?|"
    r"attorney work product|not for (?:public )?(?:distribution|release|disclosure)|"
    r"do not (?:distribute|disclose|share)|"
    r"sensitive personal data|tlp:? ?(?:red|amber(?:\+strict)?)|"
    r"(?:strängt )?(?:konfidentiellt?|förtroligt?)|sekretess(?:belagd|belagt)?|företagshemlig(?:t|het)|"
    r"(?:strengt )?(?:konfidensielt?|fortroligt?)|"
    r"unntatt (?:fra )?offentlighet|taushetsbelagt|forretningshemmelighed|luottamuksellinen|"
    r"salassa pidettävä|liikesalaisuus|"
    r"(?:streng )?vertraulich|geschäftsgeheimnis|verschlusssache|(?:strictement )?confidentiel(?:le)?|"
    r"secret professionnel|"
    r"secret (?:d'affaires|des affaires)|diffusion restreinte|(?:estrictamente )?confidencial|"
    r"secreto (?:comercial|profesional)"
)
# Words too common in prose to mean a marking unless they are written as one.
_CONFIDENTIAL_CAPITALS = (
    r"SECRET|RESTRICTED|CUI(?://[A-Z0-9/\- ]+)?|CONTROLLED//[A-Z0-9/\- ]+|FOUO|"
    r"NOFORN|HEMLIGT?|HEMMELIGT?|SALAINEN|GEHEIM|CLASSIFIED|PRIVATE"
)
_INTERNAL = (
    r"(?:for )?(?:company |strictly )?internal (?:use )?only|(?:for )?internal use|company internal|"
    r"internal[ -]+(?:do not|not for)[a-z ]+|"
    r"not for external (?:use|distribution)|(?:endast )?för internt bruk|(?:kun |endast )?(?:til|"
    r"for) internt? bruk|internt dokument|"
    r"(?:vain )?sisäiseen käyttöön|(?:nur )?für den (?:internen )?(?:dienst)?gebrauch|"
    r"nur für internen gebrauch|nur intern|"
    r"(?:à )?usage interne(?: uniquement)?|(?:solo )?(?:para )?uso interno(?: exclusivo)?|tlp:? ?green"
)
_INTERNAL_CAPITALS = r"INTERNAL|INTERN|INTERNT|SISÄINEN|INTERNE|INTERNO"

_FIELD = (
    r"(?:(?:data |document |information |security )?classification|(?:data )?sensitivity(?: level|"
    r" label)?|confidentiality(?: level)?|"
    r"security (?:level|marking|label)|data class|distribution|handling|informationsklass|klassning|"
    r"sekretessnivå|gradering|"
    r"klassifi(?:zierung|kation)|vertraulichkeit|niveau de confidentialité|clasificación|luokitus|"
    r"sensibilité)"
)
_OPEN, _CLOSE = r"[ \t*#>=_\-\[({|!~/<\"]{0,12}", r"[ \t*#=_\-\])}|!~./>:\"]{0,12}"
_GLUE = r"[ \t]*(?:[,;/&|:.·\-]| and | und | och | et | y | \- )+[ \t]*"
# A tag such as "[cloud]" in front of a marking does not hide it.
_LINE_START = r"(?:^|\n)(?:[ \t]{0,4}\[[A-Za-z0-9 _\-]{1,12}\]?)?"


def _banner(any_case: str, capitals: str) -> str:
    """A line of labels, a label that opens a line before a colon, or a label in brackets."""
    label = rf"(?:(?i:{any_case})|{capitals})"
    shouted = rf"(?:{any_case.upper()}|{capitals})"
    tail = rf"(?:{_GLUE}(?:{label}|[A-Z][^\n]{{0,60}}))?"
    return (
        rf"{_LINE_START}{_OPEN}{label}(?:{_GLUE}{label}){{0,4}}{_CLOSE}\r?(?:\n|$)"
        rf"|{_LINE_START}{_OPEN}{label}{_CLOSE}(?::|\|| [\-] ?){tail}"
        rf"|[\[{{<]{{1,3}} ?{label} ?[\]}}>]{{1,3}}"
        rf"|[(*]{{1,3}} ?{shouted} ?[)*]{{1,3}}"
    )


_STATEMENT = (
    r"(?i)((?:\b(?:if|whether|is|are|does|when|suppose|say)\s)?"
    r"\bthis (?:document|e-?mail|message|memo(?:randum)?|report|presentation|file|attachment|"
    r"communication|agreement|record)"
    r"(?: (?:and|including) (?:any|all|its) \w+(?: \w+)?)? (?:is|are|contains?|"
    r"may contain) (?:intended [a-z ]{0,60})?"
    r"(?:strictly |highly |company |legally )?(?:private|confidential|privileged|"
    r"proprietary)[^\n.?!]{0,40}.?)"
)
_HEDGED = Pattern(r"(?i)^\s?(?:if|whether|is|are|does|when|suppose|say)\s|\?$")


def _is_asserted(statement: str) -> bool:
    return not _HEDGED.found(statement)


RULES = RuleSet(
    (
        Rule(
            "confidential_banner",
            Pattern(_banner(_CONFIDENTIAL, _CONFIDENTIAL_CAPITALS)),
        ),
        Rule(
            "confidential_field",
            Pattern(
                rf"(?i){_FIELD}[\"'*]{{0,3}}\s{{0,2}}[:=][\s\"'*\[]{{0,4}}(?:{_CONFIDENTIAL}|secret|"
                rf"restricted|private|cui|hemlig|geheim|salainen)"
            ),
        ),
        Rule(
            "confidential_statement",
            Pattern(_STATEMENT),
            _is_asserted,
        ),
        Rule(
            "internal_banner",
            Pattern(_banner(_INTERNAL, _INTERNAL_CAPITALS)),
        ),
        Rule(
            "internal_field",
            Pattern(
                rf"(?i){_FIELD}[\"'*]{{0,3}}\s{{0,2}}[:=][\s\"'*\[]{{0,4}}(?:{_INTERNAL}|intern(?:al|t|"
                rf"e|o|en)?\b)"
            ),
        ),
    )
)

_WORD = Pattern(rf"(?i:{_CONFIDENTIAL}|{_INTERNAL})|{_CONFIDENTIAL_CAPITALS}|{_INTERNAL_CAPITALS}")
# A word in bold opens no line, nor does a run of Word or PowerPoint, which ends with every change of style.
_INLINE = re.compile(
    rb"(?i)</?(?:a|abbr|b|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strong|sub|sup|tt|u|var|"
    rb"[aw]:(?:t|r|rPr|b|bCs|i|iCs|u|lang|rFonts|sz|szCs|color|highlight|latin|solidFill|srgbClr|proofErr))"
    rb"(?:\s[^<>]*)?/?>"
)
_TAG = re.compile(rb"</?[A-Za-z][^<>]*>")
_SUBJECT = re.compile(
    rb"(?im)^[ \t>*]{0,8}(?:(?:subject|re|fwd?|sv|vs|vb|aw|wg|tr|rv|betreff|objet|asunto|emne|aihe|\xc3[\x84\xa4]mne)"
    rb"[ \t*]{0,3}:[ \t*]{0,3}){1,8}"
)


def suspects(data: bytes) -> bool:
    """Whether any rule could fire: linear, no false negatives."""
    return any(map(RULES.suspects, _layouts(data)))


def find(data: bytes) -> list[str]:
    """The names of the rules that fire, each once."""
    return list(dict.fromkeys(name for text in _layouts(data) for name in RULES.find(text)))


def _layouts(data: bytes) -> tuple[bytes, ...]:
    """`data`, and if it is another text also that with each element and each mail's subject on a line of its own."""
    if not _WORD.found(data):
        return (data,)
    shown = _SUBJECT.sub(b"\n", _TAG.sub(b"\n", _INLINE.sub(b"", data)))
    return (data,) if shown == data else (data, shown)
