"""Names of persons: a name list, the shape of a name, and the words that stand beside one.

Knows which texts only play with names: stories, puzzles, famous people. Does not know who anybody is.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

from serve.signals.sensitivity.pattern import Hit, Pattern

_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "þ": "th", "ð": "d", "\u0131": "i"}
)
_NAME = r"\p{Lu}[\p{L}'\x{2019}]*\p{Ll}[\p{L}'\x{2019}\-]*"
_ANY_NAME = r"\p{L}[\p{L}'\x{2019}\-]+"
_INITIAL = r"(?:\p{Lu}\.?[ \t]+)"
_PARTICLE = r"(?:(?:van|von|de|da|di|del|della|der|den|ten|la|le|el|al|bin|ibn|dos|af|zu|Ó)[ \t]+){0,2}"
_NEXT = rf"(?:[ \t]+{_INITIAL}?{_PARTICLE}{_NAME})"

_RUN = Pattern(rf"{_NAME}{_NEXT}{{0,3}}")
_WITH_INITIAL = Pattern(rf"\b{_NAME}[ \t]+\p{{Lu}}\.?[ \t]+{_PARTICLE}{_NAME}")
# In short texts only: people who write without capitals write short.
_SHORT = 600
_SENTENCE_START = Pattern(r"(?:^|[.!?:;>|\n\"“”\x{2018}*#•`({\[/_=+-]|[0-9][.)])\s*$")
_ACTS = Pattern(
    r"(?i)^(?:['\x{2019}]s\b|\s+(?:is|was|has|had|lives?|lived|works?|worked|says?|said|called|wants?|"
    r"asked|told|began|moved|wrote|"
    r"sent|signed|and)\b)"
)

_TITLE = (
    r"(?:Mr|Mrs|Ms|Mx|Dr|Prof|Professor|Doctor|Herrn?|Frau|Señora?|Sra|Madame|Monsieur|Mme|Fru|Judge|"
    r"Nurse|Pastor|Rev|Sgt|"
    r"Lt|Capt|Detective|Officer|Attorney)"
)
# Cues that make any word a name, listed or not.
_CUES: tuple[tuple[str, Pattern], ...] = (
    ("addressed_name", Pattern(rf"\b{_TITLE}\.?[ \t]+{_INITIAL}?({_NAME})")),
    (
        "introduced_name",
        Pattern(
            r"(?i:\bmy (?:full |real |first |last |sur)?name(?: is|'s|:)|\bjag heter|\bich hei(?:ß|ss)"
            r"e|\bje m'appelle|"
            r"\bme llamo|\bmi nombre es|\bmi chiamo|\bjeg heter|\bjeg hedder|\bnimeni on|"
            r"\bmein name ist|\bmijn naam is|"
            r"\bmeu nome é|\bmam na imię|\bnazywam się|\bjmenuji se|\bmeno je|\ba nevem)"
            rf"[ \t]+({_ANY_NAME})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i:\b(?:people|they|friends|everybody|you can) call me|\bnamed (?:him|her|them|me|"
            rf"my \w+|our \w+))[ \t]+({_ANY_NAME})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i:\bchange (?:it|my name|the name) to|\bwhat(?:'s| is| was) (?:your|the|his|her)"
            r" (?:full |last |first |sur)?"
            rf"name[^?\n]{{0,32}}\?\s{{0,4}}(?:\w+:\s{{0,2}})?|\bunder the name(?: of)?|\bit'?s under|"
            rf"\bthis is)[ \t]*({_NAME}"
            rf"[ \t]+{_INITIAL}?{_PARTICLE}{_NAME})"
        ),
    ),
    (
        "name_field",
        Pattern(
            r"(?:^|[\n|,;>])[ \t*\-#>\"']{0,6}(?i:(?:full |first |last |given |family |sur|customer |"
            r"client |patient |employee |"
            r"account |cardholder |card ?holder |contact |legal |maiden |user |author |sender |recipient )?"
            r"(?:name|holder|beneficiary|payee|signed(?: by)?|attn|attention|contact|applicant|"
            r"candidate|tenant|"
            r"recipient|sender|directed by|nombre|nom|navn|namn|nimi|nome|naam|imię|jméno|név))"
            rf"[\"'*]{{0,3}}[ \t]{{0,3}}[:=|"
            rf"][ \t\"'*]{{0,8}}({_NAME}[ \t]+{_INITIAL}?{_PARTICLE}{_NAME}|"
            rf"\p{{Lu}}{{2,}} \p{{Lu}}{{2,}})"
        ),
    ),
    (
        "signed_name",
        Pattern(
            r"(?i:\n[ \t]*(?:(?:best|kind|warm)(?: wishes| regards)?|(?:with )?[a-z ]{0,12}regards|"
            r"sincerely(?: yours)?|cheers|"
            r"yours (?:sincerely|truly|faithfully)|many thanks|thanks|thank you|mvh|"
            r"med vänliga hälsningar|mit freundlichen grüßen|cordialement|saludos))"
            rf"[,.!]?[ \t]*\n+[ \t]*({_NAME})[^\n]{{0,40}}(?:\n|$)"
        ),
    ),
)
# Cues that make any two words a name, or one before a relative.
_KIN = (
    r"(?:kid|son|daughter|wife|husband|mother|father|mom|dad|sister|brother|child|children|parents|boss|"
    r"landlord|lawyer|killers?)"
)
_ROLE = (
    r"(?:speaker|manager|director|engineer|nurse|doctor|teacher|lawyer|assistant|analyst|officer|"
    r"accountant|president|"
    r"founder|owner|patient|client|customer|employee|student|colleague|neighbou?r|friend)"
)
_ACTED: tuple[tuple[str, Pattern], ...] = (
    ("full_name", Pattern(rf"\b({_NAME})['\x{{2019}}]s {_KIN}\b")),
    (
        "full_name",
        Pattern(
            rf"[,”\"] (?:says|said|explains|explained|adds|added)[ \t]+({_NAME}[ \t]{{0,1}}(?:{_NAME})?)[.,]?"
        ),
    ),
    (
        "full_name",
        Pattern(
            rf"(?:^|[^\p{{L}}])({_NAME}[ \t]+{_INITIAL}?{_PARTICLE}{_NAME})(?: from {_NAME}[^.\n]{{0,40}}?)?"
            r"(?: (?:explained|told|said|says|lives|lived|works|was born|passed away|joined us|"
            r"emailed|will be (?:talking|speaking))\b|"
            rf" (?:is|was) (?:the|a|an|my|our|their) [a-z ]{{0,24}}{_ROLE}\b)"
        ),
    ),
)
# Endings that only family names have.
_FAMILY_SHAPE = Pattern(
    r"[a-z']{2,}(?:ova|eva|yeva|iyev|ayev|enko|shvili|adze|idze|ovic|evic|owicz|ewicz|czyk|inski|"
    r"owski|ewski|anski|ynski|icki|"
    r"inska|owska|ewska|anska|ynska|icka|sson|dottir|stad|gaard|qvist|quist|lund|anen|onen|inen|unen|"
    r"escu|opoulos|akis|"
    r"oglu|zadeh|ssen|nsen|lsen|rsen|tsen|dsen|ksen|[aeiou]ev|[kmnrst]ov|[a-z]yan)"
)
# What one would not want said of oneself; a fact about a person stands in one sentence with the name.
_FACT = (
    r"(?i:diagnos(?:ed|is)|tested positive|suffers? from|suffering from|treated for|prescribed|"
    r"medication|chemotherapy|"
    r"pregnan(?:t|cy)|miscarriage|hiv\b|cancer|diabet(?:es|ic)|depressi(?:on|ve)|bipolar|schizophreni|"
    r"addict|rehab\b|surgery|"
    r"disabilit|sick leave|hospitali[sz]ed|salary|earns|paid \$|income of|net worth|in debt|owes|"
    r"account balance|credit score|"
    r"bankrupt|mortgage|loan of|overdue|arrested|convicted|criminal record|fired for|terminated for|"
    r"disciplinary|divorce)"
)
_FACTS: tuple[Pattern, ...] = (
    Pattern(rf"({_NAME}[ \t]+{_INITIAL}?{_PARTICLE}{_NAME})(?:[^.\n]{{0,80}})\b{_FACT}"),
    Pattern(rf"\b{_FACT}[^.\n]{{0,60}}?[^\p{{L}}]({_NAME}[ \t]+{_INITIAL}?{_PARTICLE}{_NAME})"),
    Pattern(
        r"(?i:\b(?:my|our) (?:wife|husband|son|daughter|mother|father|mom|dad|brother|sister|partner|"
        r"girlfriend|boyfriend|"
        rf"patient|client|employee|colleague|coworker|tenant|boss|manager|friend)) ({_NAME})"
        rf"[^.\n]{{0,60}}\b{_FACT}"
    ),
)
# What makes a place, an organisation or an idea of a name.
_NOT_PEOPLE_WORDS = """
    university college school institute hospital clinic award prize inc corp corporation company ltd llc gmbh
    ag ab bank group
    street avenue road boulevard county city beach park island islands lake river mountain mountains valley
    bay airport
    station church cathedral museum stadium theatre theater library hotel restaurant castle bridge tower
    disease syndrome law laws theorem lemma inequality equation method algorithm test distribution principle
    effect constant
    paradox number numbers curve scale index code transform series filter model process carlo act constitution war
    press media news times journal magazine foundation party league cup games studio studios records airlines
    motors
    services cloud platform api framework library language database server python java
    """
_NOT_PEOPLE = frozenset(_NOT_PEOPLE_WORDS.split())
# Cues that count when the word is on the list: "Dear Customer" names nobody.
_LISTED_CUES: tuple[tuple[str, Pattern], ...] = (
    (
        "addressed_name",
        Pattern(
            r"(?:^|[\n.!?:>\"“])[ \t>\"“]*(?i:dear|hi|hello|hey|hej|hola|bonjour|hallo|liebe[r]?|"
            r"sehr geehrte[r]?|kära|caro|cara|ciao)"
            rf"[ \t]+(?:\p{{L}}{{1,5}}\.? )?({_NAME})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i)\b(?:gender of|killers of|call|named|called|says|said|met with|spoke with|email to|"
            rf"e-mail to)[ \t]+({_ANY_NAME})"
        ),
    ),
)

# A made-up text: in it a name is nobody's.
_MADE_UP = Pattern(
    r"(?i)\b(?:write|create|compose|generate|tell|make|draft|continue|come up with|give me|craft|"
    r"produce|design|need|want|"
    r"script)\b[^.\n]{0,80}\b(?:story|stories|tale|poem|poetry|novel|fiction|fanfic\w*|song|lyrics|rap|"
    r"limerick|haiku|riddle|joke|script|screenplay|scene|sketch|skit|parody|dialogue|monologue|"
    r"narrative|episode|crossover|"
    r"character|saga|ballad|sonnet|rhyme|chapter|anime|manga|plot|rubric|quiz|trivia)s?\b|"
    r"geschichte|gedicht|cuento|novela|\bhistoire|\broman\b|příběh|scénář|sceneggiatur|historia|história|"
    r"\bonce upon a time\b|\bfiction(?:al)?\b|\bfictitious\b|\brole-?play|\bpretend\b|\bimagine\b|"
    r"\bmovie|\bsitcom\b|"
    r"\btv (?:show|series)\b|\bvideo ?games?\b|\bwrite (?:[a-z]+ ){0,3}in the style of\b|\bsuperhero|"
    r"\bprotagonist"
)
_PUZZLE = Pattern(
    r"(?i)\bhow (?:many|much|old|long|far|tall|fast)\b|\bprobability\b|\bpuzzle\b|\blogic(?:al)?\b|"
    r"\bprove\b|\btheorem\b|"
    r"\blemma\b|\bmultiple choice\b|\bwhich of the following\b|\bsolve\b|\bcalculate\b|\bper hour\b|"
    r"\\frac|\$[^$\n]{1,24}\$|"
    r"\bgrammar|\bthe sentence\b|\bcitation\b|\balice and bob\b"
)
_STUDIED = Pattern(
    r"(?i)\b(?:philosoph|histor(?:y|ic)|president\b|king\b|queen\b|emperor|theor(?:y|ies)|algorithm|"
    r"paper by|et al|book by|author of|mytholog|bible|\d\dth century|wikipedia|nobel|actor|actress|celebrity|"
    r"nickname|facts about|life of|world cup|league)\b"
)
_FAMOUS_WORDS = """
    aristotle plato socrates einstein newton darwin shakespeare franklin washington lincoln roosevelt kennedy
    nixon reagan
    clinton bush obama trump biden churchill thatcher hitler stalin lenin putin napoleon bonaparte gandhi
    mandela marx
    nietzsche kant hegel freud jung curie tesla edison turing gauss euler fermat riemann bayes markov fourier
    laplace
    mozart beethoven bach picasso rembrandt vinci gogh michelangelo hemingway tolkien rowling austen dickens
    twain orwell
    kafka dostoevsky tolstoy camus musk bezos zuckerberg gates jobs altman buffett messi ronaldo federer
    nadal beyonce
    swift bieber drake kardashian presley lennon mccartney jackson potter gandalf skywalker kirby mario luigi
    pikachu
    spock stark parker wayne kent holmes watson bond depp heard dicaprio cruise merkel macron luther columbus
    galileo
    copernicus kepler hawking feynman bohr heisenberg schrodinger descartes voltaire rousseau homer virgil dante
    """
_FAMOUS = frozenset(_FAMOUS_WORDS.split())


def suspects(data: bytes) -> bool:
    """Whether the text may hold a name. Nearly every text does."""
    return bool(data)


def find(data: bytes) -> list[str]:
    """The rules that are true of `data`: one for each way a person is named."""
    text = data.decode("utf-8", "replace")
    if _MADE_UP.found(text):
        return []
    cued = [
        name for name, cue in (*_CUES, *_ACTED) if any(not _is_famous(hit.value) for hit in cue.hits(text))
    ]
    if _PUZZLE.found(text):
        return []
    if any(_is_named(hit.value) for fact in _FACTS for hit in fact.hits(text)):
        cued.append("personal_fact")
    cued += [name for name, cue in _LISTED_CUES if any(_is_listed(hit.value) for hit in cue.hits(text))]
    if cued:
        return list(dict.fromkeys(cued))
    return list(_named(text, _STUDIED.found(text)))


def _named(text: str, studied: bool) -> Iterator[str]:
    if (
        any(_is_listed(word) for hit in _WITH_INITIAL.hits(text) for word in hit.value.split())
        and not studied
    ):
        yield "full_name"
        return
    runs = [hit for hit in _RUN.hits(text) if not _is_famous(hit.value) and not _is_thing(text, hit)]
    if any(_is_full(run.value) for run in runs):
        yield "full_name"
    elif not studied and any(_is_single(text, run) for run in runs):
        yield "given_name"
    elif len(text) < _SHORT and _in_lower_case(text):
        yield "full_name"


def _in_lower_case(text: str) -> bool:
    words = [bare for word in text.split() if len(bare := word.strip(".,;:!?()\"'")) > 1]
    pairs = pairwise(words)
    return any(
        one.islower() and two.islower() and min(len(one), len(two)) > 3 and _is_full(f"{one} {two}")
        for one, two in pairs
        if not _is_famous(f"{one} {two}")
    )


def _is_full(run: str) -> bool:
    """A listed name beside another: a given name and any other, or a family name behind a word that may be a name."""
    given, family, words = _names()
    plain = [_plain(word) for word in run.split()]
    return any(
        (one in given and (_is_family(two, family) or two in given or two in words))
        or (one in words and _is_family(two, family))
        or (one in family and two in given)
        for one, two in pairwise(plain)
    )


def _is_single(text: str, run: Hit) -> bool:
    """A listed name inside a sentence, or at its start where somebody acts."""
    words = run.value.split()
    start = _SENTENCE_START.found(text[max(0, run.start - 8) : run.start])
    if start and len(words) == 1:
        return _is_listed(words[0]) and _ACTS.found(text[run.end : run.end + 16])
    return any(map(_is_listed, words[1:] if start else words))


def _is_named(name: str) -> bool:
    return any(map(_is_listed, name.split())) and not _is_famous(name)


def _is_thing(text: str, run: Hit) -> bool:
    """Whether a word at the end of `run` or behind it makes it a place, an organisation or an idea."""
    following = text[run.end : run.end + 24].lstrip("'\u2019s ").split(None, 1)
    last = (run.value.split()[-1], *following[:1])
    return any(word.lower().strip(".,;:!?()") in _NOT_PEOPLE for word in last)


def _is_listed(word: str) -> bool:
    given, family, _ = _names()
    plain = _plain(word)
    return plain in given or _is_family(plain, family)


def _is_family(plain: str, family: frozenset[str]) -> bool:
    return plain in family or (len(plain) > 5 and _FAMILY_SHAPE.covers(plain))


def _is_famous(run: str) -> bool:
    return any(_plain(word) in _FAMOUS for word in run.split())


def _plain(word: str) -> str:
    """`word` in lower case, without accents, a genitive or a part behind a hyphen."""
    word = word.lower().replace("\u2019", "'").removesuffix("'s").partition("-")[0]
    if word.isascii():
        return word
    return "".join(
        c for c in unicodedata.normalize("NFKD", word.translate(_LETTERS)) if not unicodedata.combining(c)
    )


@cache
def _names() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Given names; family names that are no given names; names that are words as well."""
    _, *lists = (files("serve.signals.sensitivity") / "names.txt").read_text(encoding="utf-8").split("\n\n")
    given, family, words = (frozenset(part.split()) for part in lists)
    return given, family, words
