"""Health records tied to a person: record numbers, patient forms, statements about a patient.

Knows the shape of a record. Does not flag medicine in general.
"""

from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet

_NAME = r"[A-ZÅÄÖÆØÉÜ][\w'\-]+(?: [A-Z]\.)? [A-ZÅÄÖÆØÉÜ][\w'\-]+"
_FINDING = (
    r"(?:diagnos(?:is|ed|es)|\bdx\b|prescri(?:bed|ption)|medications?|"
    r"treated for|suffers? from|admitted|tested positive|allerg(?:y|ies)|\bicd-?10)"
)
_RECORD = (
    r"(?i)\b(?:mrn|medical record(?: number| no\.?| #)?|patient (?:id|no\.?|number|identifier)|"
    r"journalnummer|patientennummer|"
    r"health insurance (?:id|number|no\.?)|medicare (?:id|number|"
    r"no\.?))[\"']?\s{0,2}[:#=]?\s{0,2}[\"']?#?[a-z]{0,4}-?[0-9][0-9\-]{4,}"
)
_FORM = (
    rf"(?is)(?:^|\n)[ *\-#>]{{0,6}}patient(?:'s)?(?: name)?[*]{{0,2}} ?[:=] ?[^\n]{{3,120}}\n"
    rf".*{_FINDING}[*]{{0,2}} ?[:=]"
)
_STATEMENT = (
    rf"(?:[Pp]atient|[Mm](?:r|rs|s)\.),? {_NAME}[^\n.]{{0,80}}(?i:{_FINDING})|"
    rf"(?:[Mm]y|[Oo]ur|[Tt]he) patient[^\n.]{{0,40}}\b(?:{_NAME})[^\n.]{{0,60}}(?i:{_FINDING})"
)

RULES = RuleSet(
    (
        Rule(
            "medical_record_number",
            Pattern(_RECORD),
        ),
        Rule("patient_record", Pattern(_FORM)),
        Rule("patient_statement", Pattern(_STATEMENT)),
    )
)
