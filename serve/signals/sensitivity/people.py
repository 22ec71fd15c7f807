"""Names of persons: a name list, the shape of a name, and the words that stand beside one.

Knows which texts only play with names: stories, puzzles, famous people. Does not know who anybody is.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice, pairwise

from serve.signals.sensitivity import scripts
from serve.signals.sensitivity.pattern import Pattern

_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "þ": "th", "ð": "d", "\u0131": "i", "ə": "a"}
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
# In languages full of accents the short words are words, whatever they are without the accents.
_ACCENTED = 0.05
# More capitalised words than this are not looked up one by one: no client can buy checking time.
_MOST = 2000
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
    # A title is a cue in small letters as well; "dr" and "prof" are words of code.
    (
        "addressed_name",
        Pattern(
            r"(?i)(?:^|[^\p{L}.])(?:mrs?|ms|miss|mx|sir|madam|señora?|frau|herr|monsieur|madame)\.?[ \t]+(\p{L}{3,})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i:\b(?:(?:his|her|their|your|whose|the) )?(?:full|legal|first|last|family|maiden|"
            r"middle|given|sur|user|nick)"
            r" ?-?name(?: is| was|'s|:| =|\?)|\b(?:his|her|their|whose|the (?:customer|client|"
            r"patient|employee|tenant|caller|"
            r"student|driver|passenger|guest|owner|doctor|baby|child|dog)'s) name(?: is| was|'s|:))"
            rf"[ \t\n]+({_NAME})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i:\b(?:my|our|his|her|your|their|the)(?: \w+)? (?:kid|son|daughter|wife|husband|"
            r"mother|father|mom|mum|dad|sister|brother|"
            r"child|baby|toddler|partner|fiancée?|girlfriend|boyfriend|spouse|ex|aunt|uncle|cousin|niece|nephew|grandmother|"
            r"grandfather|grandma|grandpa|stepson|stepdaughter|boss|manager|supervisor|landlord|tenant|neighbou?r|colleague|"
            r"coworker|co-worker|roommate|flatmate|classmate|employee|client|customer|patient|lawyer|accountant|assistant|friend),?)"
            rf"[ \t]+({_NAME})(?:[ \t,.;:!?'\n]|$)"
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
_GREETED = (
    rf"(?:^|\n)[ \t>\"]*(?i:dear|hi|hello|hej|hola|bonjour|hallo|liebe[r]?|kära|caro|cara|ciao|beste|drogi|"
    rf"droga|olá|cher|"
    rf"chère|estimad[oa])[ \t]+({_NAME}(?:[ \t]+{_NAME})?)[,!:][ \t]*\r?\n"
)
_GREETING = Pattern(_GREETED)
_ANYBODY = Pattern(
    r"(?i)\b(?:customer|sir|madam|team|all|hiring|manager|colleagues?|friends?|students?|editor|diary|santa|professor|"
    r"committee|parents?|valued|user|guest|members?|everyone|recruiter|mom|mum|dad|reader|there|world|name|recipient|"
    r"recruiting|family|folks|guys|ladies|gentlemen|applicant|candidate|client|neighbou?r|god|lord|future|love)\b"
)
_NON_LATIN: tuple[Pattern, ...] = (
    Pattern(
        r"\p{Lu}\p{Cyrillic}{2,}[ \t]+(?:\p{Lu}\p{Cyrillic}{2,}[ \t]+)?\p{Lu}\p{Cyrillic}+(?:ович|евич|івна|"
        r"овна|евна|ична|инична)\b"
    ),
    Pattern(
        r"\p{Lu}\p{Cyrillic}{2,}[ \t]+\p{Lu}\p{Cyrillic}+(?:ов|ова|ев|ева|ёв|ёва|ин|ина|ский|ская|цкий|цкая|"
        r"енко|чук|ко|"
        r"ук|юк|дзе|швили|ян)(?:$|[^\p{Cyrillic}])"
    ),
    Pattern(
        r"\p{Lu}\p{Greek}{2,}[ \t]+\p{Lu}\p{Greek}+(?:ης|ας|ος|ου|άκης|ίδης|όπουλος|ιάδης|έας|ίδου|άκη)(?:$|"  # noqa: RUF001 - Greek it is
        r"[^\p{Greek}])"
    ),
    Pattern(
        r"(?:我叫|我的名字是|姓名[: ]|名字[: ]|联系人[: ]|"
        r"聯絡人[: ]|收件人[: ]|氏名[: ]|名前[: ]|お名前|私の名前は|이름[: ]|"
        r"성명[: ]|제 이름은|меня зовут|мене звати|με λένε)[ \t]*[\p{L}]{2,}|"
        r"\p{Han}{1,3}(?:先生|女士|小姐|同学|さん|様)|"
        r"\p{Hangul}{2,4} ?씨(?:$|[^\p{Hangul}])"
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
            r"(?i)(?:\b(?:maiden|last|family|first|given|full|middle|sur|his|her|"
            r"their)[ -]?name is|\b(?:my|our|his|her|your) (?:\w+ )?"
            r"(?:manager|boss|wife|husband|son|daughter|kid|sister|brother|colleague|coworker|neighbou?r|friend|partner|"
            r"girlfriend|boyfriend|fiancée?|landlord|tenant|cousin|nephew|niece|client|patient|employee)|"
            rf"\n[ \t]*(?:thanks|thank you|cheers|best|love|regards),?)[ \t]+({_ANY_NAME})"
        ),
    ),
    (
        "introduced_name",
        Pattern(
            r"(?i)\b(?:ask|tell|remind|inform|notify|invite|remove|forgive|thanks,|thank you,|cheers,)[ \t]+"
            r"(\p{Lu}[\p{L}'\-]+)(?: (?:whether|if|that|about|to|from|for)\b|$)"
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


# Names that alone mean a place, a unit, a language or a machine.
_LONE_WORDS = """
    virginia georgia carolina dakota florence paris sydney austin dallas houston jordan chad israel cambridge oxford
    york chester lancaster lincoln madison jackson phoenix denver charlotte savannah orlando elo pareto pascal ruby
    scala julia django jenkins celsius kelvin fahrenheit joule fibonacci dijkstra sunni shia shiite alexa siri cortana
    claude gemini bard llama mistral benedict teutonic santa easter victoria alexandria hudson houston preston
    """
_LONE = frozenset(_LONE_WORDS.split())
# Given names of the famous: with another one, a famous family name is an ordinary one.
_FAMOUS_GIVEN_WORDS = """
    albert isaac charles william benjamin george abraham franklin theodore john richard ronald bill hillary barack
    michelle donald joe hunter winston margaret adolf joseph vladimir napoleon mahatma nelson karl friedrich immanuel
    sigmund carl marie pierre nikola thomas alan leonhard pierre bernhard andrey joseph pierre-simon wolfgang ludwig
    johann pablo leonardo vincent ernest jane mark george franz fyodor leo albert elon jeff mark steve sam warren
    lionel cristiano roger rafael taylor justin drake kim kourtney elvis paul michael janet samuel harry luke peter
    bruce clark sherlock james amber johnny tom angela emmanuel martin christopher galileo nicolaus johannes stephen
    richard niels werner erwin rene jean-jacques jean homer dante jacqueline robert edward lady melania ivanka
    """
_FAMOUS_GIVEN = frozenset(_FAMOUS_GIVEN_WORDS.split())


def is_made_up(data: bytes) -> bool:
    """Whether the text is, or asks for, a story: in it a name is nobody's."""
    return _MADE_UP.found(data)


def kinds(data: bytes) -> tuple[bool, bool, bool]:
    """Whether the text is made up, a puzzle, or about what everybody studies."""
    return _MADE_UP.found(data), _PUZZLE.found(data), _STUDIED.found(data)


def is_on_list(word: str) -> bool:
    """Whether `word`, in lower case, is a listed name that is no other word."""
    given, family, _ = _names()
    return word in given or word in family


def suspects(data: bytes) -> bool:
    """Whether the text may hold a name. Nearly every text does."""
    return bool(data)


def find(data: bytes) -> list[str]:
    """The rules that are true of `data`: one for each way a person is named."""
    if is_made_up(data):
        return []
    cued = [
        name for name, cue in (*_CUES, *_ACTED) if any(not _is_famous(value) for value in _values(cue, data))
    ]
    cued += ["addressed_name" for name in _values(_GREETING, data) if not _ANYBODY.found(name)][:1]
    if _PUZZLE.found(data):
        return []
    if any(one.found(data) for one in _NON_LATIN) or scripts.find(data):
        cued.append("non_latin_name")
    if any(_is_named(value) for fact in _FACTS for value in _values(fact, data)):
        cued.append("personal_fact")
    cued += [name for name, cue in _LISTED_CUES if any(map(_is_listed, _values(cue, data)))]
    return list(dict.fromkeys(cued)) or list(_named(data, _STUDIED.found(data)))


def _values(cue: Pattern, data: bytes) -> Iterator[str]:
    """What `cue` matched, as far as it is looked at: each value once, and not without end."""
    values = (data[start:end].decode("utf-8", "replace") for start, end in islice(cue.spans(data), _MOST))
    return iter(dict.fromkeys(values))


def _named(data: bytes, studied: bool) -> Iterator[str]:
    if not studied and any(
        _is_listed(word) for value in _values(_WITH_INITIAL, data) for word in value.split()
    ):
        yield "full_name"
        return
    single, looked = False, 0
    seen: set[bytes] = set()
    for start, end in _RUN.spans(data):
        looked += 1
        if looked > _MOST:
            yield "unchecked_names"
            return
        run = data[start:end]
        first = run not in seen
        seen.add(run)
        if single and not first:
            continue
        words = run.decode("utf-8", "replace").split()
        if not any(map(_may_name, words)) or _is_famous(words) or _is_thing(data, end, words):
            continue
        if _is_full(words):
            yield "full_name"
            return
        single = single or _is_single(data, start, end, words)
    if single and not studied:
        yield "given_name"
    elif len(data) < _SHORT and _in_lower_case(data.decode("utf-8", "replace")):
        yield "full_name"


def _in_lower_case(text: str) -> bool:
    if sum(not char.isascii() for char in text) > _ACCENTED * len(text):
        return False
    words = [bare for word in text.split() if len(bare := word.strip(".,;:!?()\"'")) > 1]
    return any(
        one.islower() and two.islower() and min(len(one), len(two)) > 3 and _is_full([one, two])
        for one, two in pairwise(words)
        if not _is_famous([one, two])
    )


def _is_full(words: Sequence[str]) -> bool:
    """A listed name beside another: a given name and any other, or a family name behind a word that may be a name."""
    given, family, common = _names()
    plain = list(map(_plain, words))
    return any(
        (one in given and (_is_family(two) or two in given or two in common))
        or (one in common and _is_family(two))
        or (one in family and two in given)
        for one, two in pairwise(plain)
    )


def _is_single(data: bytes, start: int, end: int, words: Sequence[str]) -> bool:
    """A listed name inside a sentence, or at its start where somebody acts."""
    opens = _SENTENCE_START.found(data[max(0, start - 8) : start])
    if opens and len(words) == 1:
        return _is_listed(words[0]) and _ACTS.found(data[end : end + 16])
    return any(_is_listed(word) and _plain(word) not in _LONE for word in (words[1:] if opens else words))


def _is_named(name: str) -> bool:
    return any(map(_is_listed, name.split())) and not _is_famous(name.split())


# "M H DoM Mon DoW", as coding agents explain a schedule; Dom and Dow are names too.
_CRON_FIELDS = frozenset(("DoM", "DoW"))


def _is_thing(data: bytes, end: int, words: Sequence[str]) -> bool:
    """Whether the last of `words`, or the word behind them, makes them a place, an organisation or an idea."""
    if not _CRON_FIELDS.isdisjoint(words):
        return True
    following = data[end : end + 24].decode("utf-8", "replace").lstrip("'\u2019s ").split(None, 1)
    return any(word.lower().strip(".,;:!?()") in _NOT_PEOPLE for word in (words[-1], *following[:1]))


def _is_listed(word: str) -> bool:
    plain = _plain(word)
    return plain in _names()[0] or _is_family(plain)


def _may_name(word: str) -> bool:
    plain = _plain(word)
    return plain in _names()[0] or plain in _names()[2] or _is_family(plain)


def _is_family(plain: str) -> bool:
    return plain in _names()[1] or (len(plain) > 5 and _FAMILY_SHAPE.covers(plain))


def _is_famous(words: Sequence[str] | str) -> bool:
    """A famous family name, unless a given name stands before it that no famous bearer has."""
    plain = list(map(_plain, words.split() if isinstance(words, str) else words))
    if not any(word in _FAMOUS for word in plain):
        return False
    return not (plain[0] in _names()[0] and plain[0] not in _FAMOUS_GIVEN | _FAMOUS)


@lru_cache(maxsize=1 << 15)
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
