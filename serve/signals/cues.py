"""The grammar of a demand: cue words of each kind, in several languages.

Knows patterns only. Does not know which cues make one demand together (`constraints`).
"""

from serve.signals.sensitivity.pattern import Pattern

_NUMBER = (
    r"(?:[0-9][0-9,.]*\+?|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|"
    r"fifty|(?:a )?hundred|"
    r"ein(?:e[nmrs]?)?|zwei|drei|vier|fünf|sechs|zehn|une?|deux|trois|quatre|cinq|dix|una?|dos|tres|"
    r"cuatro|cinco|diez|"
    r"en|ett|två|tre|fyra|fem|tio|uno|due|quattro|cinque|sei|twee|drie|vier|vijf|zes|tien)"
)
_BOUND = (
    r"(?:at (?:least|most)|(?:no|not) (?:more|less|fewer) than|(?:less|fewer|more|greater) than|exactly|"
    r"precisely|only|under|over|"
    r"within|below|above|up to|(?:a )?(?:maximum|minimum)(?: of)?|between|limit(?:ed)? to|"
    r"(?:not )?(?:exceed|surpass)(?:ing)?|(?:no |not )?(?:longer|shorter) than|"
    r"mindestens|höchstens|maximal|genau|weniger als|nicht mehr als|au moins|au plus|exactement|"
    r"moins de|pas plus de|"
    r"al menos|como máximo|exactamente|menos de|no más de|minst|högst|max|exakt|färre än|inte mer än|"
    r"almeno|al massimo|esattamente|meno di|non più di|minstens|hoogstens|maximaal|precies|minder dan|"
    r"niet meer dan)"
)
_UNIT = (
    r"(?:words?|sentences?|paragraphs?|lines?|characters?|letters?|syllables?|pages?|tokens?|verses?|"
    r"stanzas?|minutes?|"
    r"wörter[n]?|worten?|sätzen?|absätzen?|zeichen|zeilen|mots|phrases?|paragraphes?|lignes|caractères|"
    r"palabras|oraciones|frases|párrafos?|líneas|caracteres|ord|meningar|stycken|rader|tecken|parole|frasi|"
    r"paragrafi|righe|caratteri|woorden|zinnen|alinea's|regels|tekens)"
)
_PART = (
    r"(?:bullets?|bullet(?:ed)? points?|points?|items?|sections?|parts?|steps?|examples?|reasons?|"
    r"options?|headings?|categor(?:y|ies)|columns?|rows?|"
    r"placeholders?|highlight(?:ed)?|tips?|ideas?|questions?|versions?|responses?|keywords?|hashtags?|"
    r"arguments?|keys?|fields?|headers?|quotations?|quotes|rows?|figures?|facts|names|tags|entries|"
    r"stichpunkten?|spalten|schlüsseln?|gründen?|quellen|colonnes|clés|raisons|sources|columnas|claves|"
    r"razones|fuentes|kolumner|nycklar|skäl|källor|colonne|chiavi|esempi|fonti|motivi|kolommen|sleutels|"
    r"voorbeelden|bronnen|redenen|"
    r"abschnitten?|beispielen?|points|sections|exemples|étapes|puntos|secciones|ejemplos|pasos|punkter|"
    r"avsnitt|exempel|steg)"
)
_LANGUAGE = (
    r"(?:english|german|french|spanish|swedish|norwegian|danish|finnish|italian|dutch|portuguese|polish|"
    r"russian|arabic|hindi|chinese|"
    r"japanese|korean|turkish|latin|urdu|bengali|kannada|tamil|telugu|punjabi|marathi|persian|farsi|"
    r"swahili|vietnamese|thai|"
    r"deutsch|englisch|französisch|spanisch|italienisch|français|anglais|allemand|espagnol|italien|inglés|"
    r"español|alemán|francés|italiano|engelska|svenska|tyska|franska|inglese|tedesco|francese|spagnolo|engels|"
    r"duits|frans|spaans|nederlands)"
)

_PLACE = (
    r"(?:pages?|sections?|chapters?|paragraphs?|lines?|figures?|tables?|appendix|articles?|clauses?|slides?|"
    r"exhibits?|seiten?|abschnitt\w*|kapitel|absatz|tabelle|artikel|chapitre|paragraphe|tableau|página|sección|"
    r"capítulo|artículo|sidan?|avsnitt|pagina|sezione|capitolo|articolo|paragraaf|hoofdstuk)"
)

# One kind per row, most specific first: where two overlap, the earlier row has the words.
KINDS: tuple[tuple[str, Pattern], ...] = tuple(
    (kind, Pattern(f"(?i){source}"))
    for kind, source in (
        (
            "frequency",
            rf"(?:{_BOUND} )?(?:(?:{_NUMBER}|or|and|[0-9]+) ){{1,3}}(?:times|fois|veces|gånger|mal\b)|"
            rf"\b(?:twice|thrice)\b",
        ),
        (
            "reference",
            rf"\b(?:refer\w*|point\w*|cit(?:e|es|ing)|quot(?:e|es|ing)|mention\w*|see|verweis\w*|hinweis|zitier\w*|"
            rf"renvoie\w*|référence|referencia|remite\w*|hänvis\w*|riferimento|verwijs\w*)(?: \w+){{0,3}}? "
            rf"{_PLACE}(?: [0-9ivx.]+)?\b|\b(?:cit(?:e|es|ing|ez|a)|list|name|give|with|using|nenn\w*|mit|avec|con|med|"
            rf"nämn|noem|met) (?:\pL+ ){{0,2}}?(?:sources?|citations?|references?|footnotes?|quellen|fuentes|källor|"
            rf"fonti|bronnen)\b|\b(?:apa|mla|chicago)(?: style)?\b",
        ),
        (
            "fields",
            r"\b(?:with|has|have|containing|only|mit|avec|con|med|met) (?:\w+ ){0,3}?(?:keys?|fields?|columns?|"
            r"attributes?|schlüsseln?|feldern?|spalten|clés?|champs?|colonnes|claves?|campos?|columnas|nycklar|fälten?|"
            r"kolumner|chiavi|campi|colonne|velden|sleutels|kolommen)\b|\bheader row\b",
        ),
        (
            "order",
            r"\b(?:sort(?:ed)?|order(?:ed)?|rank(?:ed)?) (?:\w+ ){0,3}?(?:by|from|alphabetically|in)\b|"
            r"\b(?:in )?(?:alphabetical|chronological|ascending|descending|reverse)(?: order)?\b|"
            r"\b(?:newest|oldest|largest|smallest|cheapest|best) first\b|\bsortier\w*|\balphabetisch\b|\btrié\w*|"
            r"\bordenad\w+|\bsorter\w+|\bordinat[eoi]\b|\bgesorteerd\b|\bordre alphabétique|\borden alfabético|"
            r"\bbokstavsordning\b|\bordine alfabetico",
        ),
        (
            "signature",
            r"\bsign(?:ed)?(?: (?:it|off|the \w+))? (?:as|with|by)\b|\bunterschreib\w* (?:als|mit)\b|"
            r"\bsigne[rz]? [\w']+|\bfirma(?:do)? (?:como|come)\b|\bskriv under\b|\bonderteken\w*",
        ),
        (
            "notation",
            r"\b(?:yyyy[-/.]mm[-/.]dd|dd[-/.]mm[-/.]yyyy|mm[-/.]dd[-/.]yyyy|iso ?8601|24-hour)\b|"
            r"\brounded\b|\bdecimals?(?: places?)?\b|\bsignificant (?:figures|digits)\b|"
            r"\b(?:spaces|tabs) (?:of|for) indent\w*|\bindent\w*|\b(?:double|single) quot\w+|\bin (?:bold|italics)\b|"
            r"\b(?:in|use) (?:the )?(?:metric|imperial|si|euros?|dollars?|kilomet\w+|celsius)(?: units?)?\b|"
            r"\bbritish|\bamerican (?:english|spelling)|\btype hints?\b|\bdocstrings?\b|\bunit tests?\b|\bpep ?8\b|"
            r"\b(?:escape|quote) (?:all|every)\b",
        ),
        (
            "tense",
            r"\b(?:in|use) (?:the )?(?:past|present|future|active|passive)(?: perfect)?(?: (?:tense|voice))?\b|"
            r"\bim (?:präsens|präteritum|perfekt)\b|\bau (?:passé composé|présent|futur)\b|"
            r"\ben (?:pasado|presente|futuro)\b|\brhym\w+",
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
            r"\btitle case\b|kleinbuchstaben|großbuchstaben|minuscules?|majuscules?|minúsculas|mayúsculas|gemener|"
            r"versaler|minuscol[eoi]|maiuscol[eoi]|kleine letters|hoofdletters",
        ),
        (
            "punctuation",
            r"\b(?:no|without|any|use|avoid)(?: using| use of)?(?: any)? (?:commas?|"
            r"exclamation (?:marks?|points?)|punctuation|periods|emojis?|semicolons|"
            r"contractions|adjectives|pronouns)\b|\b(?:in|with|wrap\w*|put|"
            r"use)(?: \w+){0,4} (?:quot(?:es|ation marks?)|brackets|asterisks|parentheses)\b|"
            r"ohne kommas?|sans virgules?|sin comas|utan komma(?:tecken)?|senza virgole|zonder komma's",
        ),
        (
            "format",
            r"\b(?:json|xml|yaml|html|markdown|csv|latex|toml|ascii|bullet(?:ed)?(?:[ -]points?| list)?|"
            r"numbered list|"
            r"(?:un)?ordered list|table|tabular|code block|flowchart|spreadsheet|tabelle|tableau|tabla|"
            r"tabell|tabella|tabel|stichpunkte|liste à puces|viñetas|punktlista|elenco puntato)\b"
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
            r"beginn\w* mit|commenc\w+ par|(?:empiez|comienz)\w+ con|börja med|(?:inizi|cominci)\w* con|begin met|"
            r"\brepeat the \w+",
        ),
        (
            "end",
            r"\b(?:end|finish|conclud|clos|culminat|wrap)(?:e|es|s|ing|ing)?\b (?:\w+ ){0,5}?(?:with|by|"
            r"on|up)\b|\blast (?:word|sentence|line)\b|\bp\.? ?(?:p\.? ?)?s\.\B|"
            r"\bpostscript\b|\bende(?: \w+)? mit|schließe mit|termin\w+ (?:par|con)|avsluta med|eindig met",
        ),
        (
            "language",
            rf"\b(?:in|into|using|only|auf|en|på|to|in het) (?:the )?{_LANGUAGE}\b(?: language| only)?|"
            rf"\bno other language\b|\btranslate\b",
        ),
        (
            "persona",
            r"\b(?:you(?:'re| are| will be) (?:an?|the)|act(?:ing)? (?:as|like)|imagine you|pretend|"
            r"role[- ]?play|(?:respond|speak|write|answer|reply|explain (?:it|this)) (?:as|like) "
            r"(?:an?|the|if)|as (?:if|though)|as an? \w+(?: \w+)? would|from the (?:perspective|"
            r"point of view|viewpoint) of|in the role of)\b|\bas an? (?:pirate|poet|expert|teacher)\b|"
            r"du bist ein|agissez comme|actúa como|agera som|als wärst du|\b(?:in the|in der|à la|en|i|in|in de) "
            r"(?:first|second|third|ich|première|primera|jag|prima|ik)[- ](?:person(?:a|ne)?|form|vorm)\b",
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
            r"(?:im|dans le|en el|i) sti[ll]e? (?:von|de)|"
            r"\b(?:reminiscent of|akin to|(?:a |an |with )(?:\w+ )?(?:touch|hint|sense|dash|note|undertone|air|"
            r"dose|layer|blend) of)\b|\b(?:mirror|echo|embod|embrac|conjur|captur|convey|channel)(?:y|e|ing|ying)? "
            r"(?:the|a|an)\b|\b(?:alliteration|assonance|simile|hyperbole|allegory|onomatopoeia|personification|"
            r"allusion)s?\b|\b(?:satirical|humorous|sarcastic|ironic|poetic|whimsical|melancholic|archaic)\b|"
            r"\b(?:in|sur un|en|i|op|con) (?:\w+ ){0,2}?(?:ton|tono|stil|estilo|style|stile|toon|stijl)\b",
        ),
        (
            "audience",
            r"\b(?:for|to|aimed at|targeted (?:at|to)|suitable for|appropriate for|intended for|"
            r"tailored (?:for|to)|address(?:ed|ing)? (?:to)?) (?:an? |the |my |your )?"
            r"(?:\w+[ -]){0,3}?(?:audience|readers?|children|kids|child|teenagers?|beginners?|students?|"
            r"adults?|year[- ]olds?|professionals|experts?|laypersons?|patients?|friend|"
            r"customers?|grandmother|parents|managers?|engineers?|developers|\w+-year-olds)\b|"
            r"\b(?:für|pour|para|för|per|voor) (?:\w+ )?(?:kinder|anfänger|fachleute|experten|eltern|enfants|débutants|"
            r"experts?|niños|principiantes|expertos|barn|nybörjare|experter|bambini|principianti|esperti|kinderen|"
            r"beginners|deskundigen)\b",
        ),
        (
            "prohibition",
            r"\b(?:do not|don'?t|never|avoid|refrain from|exclude|omit|cannot|can'?t|must ?n[o']t|"
            r"should ?n[o']t|without|except|nothing (?:but|else)|rather than|instead of|"
            r"keine?[nmrs]?|nicht|niemals|vermeide\w*|ohne|ne pas|n'\w+ pas|jamais|évite\w*|sans|nunca|"
            r"evita\w*|sin|inte|aldrig|undvik|utan|non|mai|senza|zonder|nooit|vermijd\w*|leave out|skip)\b"
            r"(?:[^.,;!?\n]{2,40}?(?: (?:and|und|et|y|och|e|en) |[.,;!?\n]|$)|[^.,;!?\n]{40})|"
            r"(?:^|[,;:.\n] ?|\b(?:and|with) )no [^.,;!?\n]{3,30}|"
            r"\b(?:lass|låt|laat)\b[^.,;!?\n]{2,40}\bweg\b|"
            r"\b(?:erwähne|nenne|nämn|noem)\b[^.,;!?\n]{0,30}\b(?:nicht|kein\w*|inte|inget|niet|geen)\b",
        ),
        (
            "inclusion",
            r"\b(?:includ|contain|mention|incorporat|cit|quot|us|featur|emphasi[sz]|highlight|integrat|"
            r"embed|referenc|refer|draw|involv|specify|specif|identif|extract|consider|"
            r"provid|offer|describ|discuss|compar|contrast|conduct|undertake|perform|engag|evaluat|"
            r"analy[sz]|investigat|elaborat|elucidat|delv|assess|predict|propos|suggest|list|"
            r"erwähn|verwend|enthalt|nenn|mentionn|utilis|inclu|menciona|incluy|usa|inkluder|nämn|"
            r"använd|fornisc|cita|usa|noem|gebruik|geef)(?:e|es|s|ing|ies|y|en|er|ez|t|a|d|ed)?\b(?: to)?"
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
