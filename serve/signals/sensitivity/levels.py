"""The class each rule stands for.

Knows the default verdict of every rule. Does not know how a rule is detected.
"""

from collections.abc import Mapping
from types import MappingProxyType

from serve.signals.readings import Finding, Sensitivity

_INTERNAL_RULES = (
    "internal_banner",
    "internal_field",
    "internal_document",
    # the organisation's own words
    "dictionary_internal",
    # people
    "introduced_name",
    "name_field",
    "addressed_name",
    "full_name",
    "given_name",
    "unchecked_names",
    "signed_name",
    "non_latin_name",
    # traces of a life or a work
    "account_path",
    "mail_headers",
    "redaction_mark",
    "own_host",
    "company_name",
    "affiliation",
    "organisation",
    "cited_name",
    "link_to_one",
    "own_place",
    "born_on",
    # the prompt as a whole
)

_CONFIDENTIAL_RULES = (
    # identifiers
    "payment_card",
    "iban",
    "us_ssn",
    "se_personnummer",
    "no_fodselsnummer",
    "dk_cpr",
    "fi_hetu",
    "de_idnr",
    "fr_nir",
    "es_dni_nie",
    "it_codice_fiscale",
    "pl_pesel",
    "nl_bsn",
    "gb_nhs",
    "gb_nino",
    "foreign_id",
    "identity_document",
    "date_of_birth",
    # contact
    "email",
    "phone",
    "ip_address",
    "street_address",
    "postal_box",
    # secrets
    "provider_key",
    "jwt",
    "private_key",
    "connection_string",
    "password_hash",
    "authorization_header",
    "password_assignment",
    "key_assignment",
    "secret_manifest",
    "bare_token",
    "short_code",
    "recovery_phrase",
    # labels
    "confidential_banner",
    "confidential_field",
    "confidential_statement",
    # health
    "medical_record_number",
    "patient_record",
    "patient_statement",
    "personal_fact",
    "own_health",
    "own_money",
    # business
    "company_code",
    "trade_secret",
    "business_plan",
    "company_system",
    "people_data",
    "credential_request",
    "company_matter",
    "dictionary_confidential",
    # what cannot be read
    "opaque_blob",
    "unreadable_part",
    "detector_failed",
)

LEVELS: Mapping[str, Sensitivity] = MappingProxyType(
    dict.fromkeys(_INTERNAL_RULES, Sensitivity.INTERNAL)
    | dict.fromkeys(_CONFIDENTIAL_RULES, Sensitivity.CONFIDENTIAL)
)

DOUBTS = frozenset({"opaque_blob", "detector_failed", "signal_failed"})
"""Rules that say something could not be read: nobody may set them aside."""


def finding(detector: str, rule: str, path: str) -> Finding:
    """A finding of `rule` at its class; a rule without one is confidential."""
    return Finding(detector, rule, LEVELS.get(rule, Sensitivity.CONFIDENTIAL), path)
