"""The constraint-density signal: how many strict demands a prompt makes at the same time.

Knows the grammar of a demand (amounts, formats, musts, prohibitions, voices) in five languages; a small trained
counter weighs what the grammar found. Does not know how hard a demand is to meet.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from models.scout import counter
from serve.request import RequestView
from serve.signals.density import SHAPE, Cue, Floats, measures
from serve.signals.readings import ConstraintReading
from serve.signals.sensitivity.pattern import Pattern

# Demands stand at the ends of a prompt; what lies between is usually the material to work on.
_EDGE = 6_000

_NUMBER = (
    r"(?:[0-9][0-9,.]*\+?|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|"
    r"fifty|(?:a )?hundred|"
    r"ein(?:e[nmrs]?)?|zwei|drei|vier|fünf|sechs|zehn|une?|deux|trois|quatre|cinq|dix|una?|dos|tres|"
    r"cuatro|cinco|diez|"
    r"en|ett|två|tre|fyra|fem|tio)"
)
_BOUND = (
    r"(?:at (?:least|most)|(?:no|not) (?:more|less|fewer) than|(?:less|fewer|more|greater) than|exactly|"
    r"precisely|only|under|over|"
    r"within|below|above|up to|(?:a )?(?:maximum|minimum)(?: of)?|between|limit(?:ed)? to|"
    r"(?:not )?exceed(?:ing)?|"
    r"mindestens|höchstens|maximal|genau|weniger als|nicht mehr als|au moins|au plus|exactement|"
    r"moins de|pas plus de|"
    r"al menos|como máximo|exactamente|menos de|no más de|minst|högst|max|exakt|färre än|inte mer än)"
)
_UNIT = (
    r"(?:words?|sentences?|paragraphs?|lines?|characters?|letters?|syllables?|pages?|tokens?|verses?|"
    r"stanzas?|minutes?|"
    r"wörter[n]?|worten?|sätzen?|absätzen?|zeichen|zeilen|mots|phrases?|paragraphes?|lignes|caractères|"
    r"palabras|oraciones|frases|párrafos?|líneas|caracteres|ord|meningar|stycken|rader|tecken)"
)
_PART = (
    r"(?:bullets?|bullet(?:ed)? points?|points?|items?|sections?|parts?|steps?|examples?|reasons?|"
    r"options?|headings?|categor(?:y|ies)|columns?|rows?|"
    r"placeholders?|highlight(?:ed)?|tips?|ideas?|questions?|versions?|responses?|keywords?|hashtags?|"
    r"arguments?|stichpunkten?|"
    r"abschnitten?|beispielen?|points|sections|exemples|étapes|puntos|secciones|ejemplos|pasos|punkter|"
    r"avsnitt|exempel|steg)"
)
_LANGUAGE = (
    r"(?:english|german|french|spanish|swedish|norwegian|danish|finnish|italian|dutch|portuguese|polish|"
    r"russian|arabic|hindi|chinese|"
    r"japanese|korean|turkish|latin|urdu|bengali|kannada|tamil|telugu|punjabi|marathi|persian|farsi|"
    r"swahili|vietnamese|thai|"
    r"deutsch|englisch|französisch|français|anglais|allemand|inglés|español|alemán|engelska|svenska|tyska)"
)
_ANSWER = r"(?:your|the|each|every|this|any|all)(?: \w+){0,2}"

# One kind per row, most specific first: where two overlap, the earlier row has the words.
_KINDS: tuple[tuple[str, Pattern], ...] = tuple(
    (kind, Pattern(f"(?i){source}"))
    for kind, source in (
        (
            "frequency",
            rf"(?:{_BOUND} )?(?:(?:{_NUMBER}|or|and|[0-9]+) ){{1,3}}(?:times|fois|veces|gånger|mal\b)|"
            rf"\b(?:twice|thrice)\b",
        ),
        (
            "length",
            rf"\b{_BOUND} (?:than |of )?(?:{_NUMBER}(?: (?:and|to|or|und|et|y|"
            rf"och) {_NUMBER})?[ -])(?:\w+ ){{0,2}}?{_UNIT}\b(?: long| or (?:less|more|fewer))?|"
            rf"\b{_NUMBER}(?: ?[-\x{{2013}}] ?| to | or )?(?:[0-9]+)?[ -](?:short |long |"
            rf"brief )?{_UNIT}\b(?: (?:long|or (?:less|more|fewer)|maximum|max|each))?|"
            r"\b(?:very )?(?:short|brief|concise|succinct|detailed|lengthy|in[- ]depth|kurz|knapp|court|"
            r"bref|breve|kort)\b(?:,? (?:response|answer|reply|and))?",
        ),
        ("amount", rf"\b(?:{_BOUND} )?{_NUMBER} (?:\w+ ){{0,2}}?{_PART}\b"),
        ("title", r"<<[^>\n]{0,60}>>|\b(?:a|the) title\b|\btitled?\b"),
        ("placeholder", r"\bplaceholders?\b|\[(?:name|address|date|insert)[^\]\n]{0,30}\]"),
        (
            "case",
            r"\b(?:all |in |only |entirely )*(?:lower|upper)[- ]?case\b(?: letters?)?|\b(?:all |"
            r"in )*(?:caps|capitals|capitali[sz]ed|capital letters?)\b|"
            r"kleinbuchstaben|großbuchstaben|minuscules?|majuscules?|minúsculas|mayúsculas|gemener|versaler",
        ),
        (
            "punctuation",
            r"\b(?:no|without|any|use|avoid)(?: using| use of)?(?: any)? (?:commas?|"
            r"exclamation (?:marks?|points?)|punctuation|periods|emojis?|semicolons|"
            r"contractions|adjectives|pronouns)\b|\b(?:in|with|wrap\w*|put|"
            r"use)(?: \w+){0,4} (?:quot(?:es|ation marks?)|brackets|asterisks|parentheses)\b|"
            r"ohne kommas?|sans virgules?|sin comas|utan komma(?:tecken)?",
        ),
        (
            "format",
            r"\b(?:json|xml|yaml|html|markdown|csv|latex|toml|ascii|bullet(?:ed)?(?:[ -]points?| list)?|"
            r"numbered list|"
            r"(?:un)?ordered list|table|tabular|code block|flowchart|spreadsheet|tabelle|tableau|tabla|"
            r"tabell|stichpunkte|liste à puces|viñetas|punktlista)\b"
            r"(?: (?:format|output|form|list|object|style))?|\b(?:format(?:ted)?|structured?|"
            r"organi[sz]ed?|arranged?|present(?:ed)?) (?:\w+ ){0,3}?(?:as|in|into|using|with|by)\b|"
            r"\b(?:in|use|using|following|with) (?:the|this|a|an) (?:\w+ ){0,2}?(?:format|form|"
            r"structure|template|layout|order)\b|\bhierarchical\w*|"
            r"\bchronological(?:ly)?|\balphabetical(?:ly)?|\b(?:output|return|reply|respond|"
            r"answer) (?:with )?only\b|\bonly (?:output|return|reply|respond|answer|the)\b",
        ),
        (
            "start",
            r"\b(?:start|begin|open|commence|introduce)(?:s|ning|ing)? (?:\w+ ){0,5}?(?:with|by|from|"
            r"off)\b|\bfirst (?:word|sentence|repeat|paragraph)\b|"
            r"beginn\w* mit|commenc\w+ par|(?:empiez|comienz)\w+ con|börja med|\brepeat the \w+",
        ),
        (
            "end",
            r"\b(?:end|finish|conclud|clos|culminat|wrap)(?:e|es|s|ing|ing)?\b (?:\w+ ){0,5}?(?:with|by|"
            r"on|up)\b|\blast (?:word|sentence|line)\b|\bp\.? ?(?:p\.? ?)?s\.\B|"
            r"\bpostscript\b|ende \w+ mit|termin\w+ (?:par|con)|avsluta med",
        ),
        (
            "language",
            rf"\b(?:in|into|using|only|auf|en|på|to) (?:the )?{_LANGUAGE}\b(?: language| only)?|"
            rf"\bno other language\b|\btranslate\b",
        ),
        (
            "persona",
            r"\b(?:you(?:'re| are| will be) (?:an?|the)|act(?:ing)? (?:as|like)|imagine you|pretend|"
            r"role[- ]?play|(?:respond|speak|write|answer|reply|explain (?:it|this)) (?:as|like) "
            r"(?:an?|the|if)|as (?:if|though)|as an? \w+(?: \w+)? would|from the (?:perspective|"
            r"point of view|viewpoint) of|in the role of)\b|\bas an? (?:pirate|poet|expert|teacher)\b|"
            r"du bist ein|agissez comme|actúa como|agera som|als wärst du",
        ),
        (
            "style",
            r"\b(?:in|with|using|adopt\w*|maintain\w*|keep\w*|infus\w+|imbu\w+|channel\w*|emulat\w+|"
            r"mimic\w*|incorporat\w+|reflect\w*|blend\w*|weav\w+|sprinkl\w+|add\w*|evok\w+)"
            r" (?:\w+[ '\x{2019}-]){0,6}?(?:style|tone|voice|manner|wit|humou?r|flair|charm|satire|sarcasm|"
            r"irony|metaphors?|allure|wisdom|elegance|rhythm|cadence|vocabulary|"
            r"dialect|slang|accent|imagery|prose|fashion|diction|spirit|essence|essences?|mood|"
            r"atmosphere|language|elements?)s?\b|\bstyle of\b|\btone\b|\b(?:be|sound|"
            r"remain) (?:\w+ )?(?:formal|informal|casual|professional|friendly|persuasive|funny|"
            r"humorous|angry|polite)\b|"
            r"(?:im|dans le|en el|i) sti[ll]e? (?:von|de)",
        ),
        (
            "audience",
            r"\b(?:for|to|aimed at|targeted (?:at|to)|suitable for|appropriate for|intended for|"
            r"tailored (?:for|to)|address(?:ed|ing)? (?:to)?) (?:an? |the |my |your )?"
            r"(?:\w+[ -]){0,3}?(?:audience|readers?|children|kids|child|teenagers?|beginners?|students?|"
            r"adults?|year[- ]olds?|professionals|experts?|laypersons?|patients?|friend|"
            r"customers?|grandmother|kindern?|enfants|niños|barn)\b",
        ),
        (
            "prohibition",
            r"\b(?:do not|don'?t|never|avoid|refrain from|exclude|omit|cannot|can'?t|must ?n[o']t|"
            r"should ?n[o']t|without|except|nothing (?:but|else)|rather than|instead of|"
            r"keine?[nmrs]?|nicht|niemals|vermeide\w*|ohne|ne pas|n'\w+ pas|jamais|évite\w*|sans|nunca|"
            r"evita\w*|sin|inte|aldrig|undvik|utan)\b[^.,;!?\n]{2,40}",
        ),
        (
            "inclusion",
            r"\b(?:includ|contain|mention|incorporat|cit|quot|us|featur|emphasi[sz]|highlight|integrat|"
            r"embed|referenc|refer|draw|involv|specify|specif|identif|extract|consider|"
            r"provid|offer|describ|discuss|compar|contrast|conduct|undertake|perform|engag|evaluat|"
            r"analy[sz]|investigat|elaborat|elucidat|delv|assess|predict|propos|suggest|list|"
            r"erwähn|verwend|enthalt|nenn|mentionn|utilis|inclu|menciona|incluy|usa|inkluder|nämn|"
            r"använd)(?:e|es|s|ing|ies|y|en|er|ez|t|a|d|ed)?\b(?: to)?"
            r" (?:the |a |an |any |all |at |both |some |its |how |what |from |of |in |this |these |"
            r"your |out |die |das |le |la |el |los |ett? )?[\w\"'“\x{2018}«]+",
        ),
        (
            "demand",
            r"\b(?:must|should|shall|need(?:s)? to|ha(?:ve|s) to|ought to|ensur(?:e|ing)|make (?:sure|"
            r"certain)|be sure|required?|strictly|mandatory|it is (?:important|essential)|"
            r"muss|müssen|soll(?:en|te)?|stelle sicher|doit|doivent|assure[zr]?|debe[ns]?|asegúra\w*|"
            r"måste|ska(?:ll)?|se till)\b",
        ),
        (
            "addition",
            r"\b(?:additionally|furthermore|moreover|in addition|besides|as well as|along with|außerdem|"
            r"de plus|además|dessutom)\b",
        ),
    )
)

_CODE = Pattern(r"(?s)```.*?```")
_SENTENCE_END = re.compile(r"[.!?;]\s|\n")
# A sentence that only tells what to do is one demand, however many cue words it has.
_WEAK = frozenset(("demand", "inclusion", "addition", "style", "prohibition", "amount"))
# Each of these is a further wish, even within one sentence.
_EACH = frozenset(("style", "addition", "frequency", "length"))
# An answer has one of each of these, however often the prompt comes back to it.
_ONCE = frozenset(
    ("title", "placeholder", "case", "language", "persona", "audience", "punctuation", "format")
)


_NAMES = tuple(kind for kind, _ in _KINDS)
# What the counter reads of a prompt, in order.
MEASURES = (*_NAMES, *SHAPE)


@dataclass(frozen=True, slots=True)
class Found:
    """What the grammar makes of one text: how many demands, of which kinds, and what the counter reads."""

    counted: int
    kinds: frozenset[str]
    measures: Floats


def read(view: RequestView) -> ConstraintReading:
    """How many demands the prompt and its instructions make, and their kinds; none where the grammar finds no cue."""
    texts = [grammar(trimmed(text)) for text in (view.instructions, view.prompt) if text]
    density = sum(map(_density, texts), float(view.structured))
    kinds = frozenset(("structured",) if view.structured else ()).union(*(text.kinds for text in texts))
    return ConstraintReading(round(density), tuple(sorted(kinds)), density)


def grammar(text: str) -> Found:
    """The demands that the grammar sees in `text`, one without code blocks and of bounded length."""
    ends = [match.start() for match in _SENTENCE_END.finditer(text)]
    cues = list(_cues(text, ends))
    demands = set(_demands(cues))
    row = measures(text, cues, len(demands), len(ends) + 1, _NAMES)
    return Found(len(demands), frozenset(kind for kind, _ in demands), row)


def _density(found: Found) -> float:
    return max(1.0, _counter().estimate(found.measures, found.counted)) if found.counted else 0.0


@cache
def _counter() -> counter.DemandCounter:
    return counter.load(MEASURES)


def trimmed(text: str) -> str:
    """`text` without code blocks, and without its middle where it is long."""
    text = _CODE.replace(text.encode("utf-8", "replace").decode(), lambda _: " ")
    return text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]}\n{text[-_EDGE:]}"


def _demands(cues: Iterable[Cue]) -> Iterator[tuple[str, str]]:
    """Every demand as its kind and its words: the same words twice are one demand."""
    sentences: dict[int, list[Cue]] = {}
    for cue in cues:
        sentences.setdefault(cue.sentence, []).append(cue)
    for members in sentences.values():
        strong = [cue for cue in members if cue.kind not in _WEAK]
        for cue in (*(strong or members[:1]), *(cue for cue in members if cue.kind in _EACH)):
            yield cue.kind, "" if cue.kind in _ONCE else cue.words


def _cues(text: str, ends: Sequence[int]) -> Iterator[Cue]:
    """The cues in the order of the table; words that an earlier kind took are gone."""
    taken = bytearray(len(text))
    for kind, pattern in _KINDS:
        for hit in pattern.hits(text):
            if taken.find(1, hit.start, hit.end) < 0:
                taken[hit.start : hit.end] = b"\x01" * (hit.end - hit.start)
                yield Cue(kind, " ".join(hit.value.lower().split()), hit.start, bisect_left(ends, hit.start))
