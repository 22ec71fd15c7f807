"""Promises of each rule: what it finds, and the look-alike beside it that it leaves alone."""

import pytest

from serve.request import Leaf, RequestView
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import read
from serve.signals.sensitivity.levels import LEVELS

# Keys are put together here so that no scanner takes this file for a leak.
TAIL = "Qx7Lm2Zt9Kc4Vb8Nw3Hs6Yd1Rf5Gj0Pu"


def view(text: str) -> RequestView:
    return RequestView(
        leaves=(Leaf("messages[0].role", "user"), Leaf("messages[0].content", text)),
        opaque=(),
        prompt=text,
        instructions="",
        conversation=text,
        tool_names=(),
        structured=False,
        needs=frozenset(),
        output_tokens=None,
    )


FOUND = [
    ("payment_card", "pay with 4242 4242 4242 4242 please"),
    ("payment_card", "pay with 4242-4242-4242-4242"),
    ("payment_card", "amex 378282246310005"),
    ("payment_card", "first 4242424242424241 then 4242424242424242"),
    ("payment_card", "paid 12 4242 4242 4242 4242 0 times"),
    ("short_code", "My PIN code is 4821, keep it"),
    (
        "recovery_phrase",
        "seed phrase: " + "witch collapse practice feed shame open despair creek road again ice least",
    ),
    ("foreign_id", "CPF 529.982.247-25"),
    ("foreign_id", "AHV-Nr. 756.9217.0769.85"),
    ("foreign_id", "Aadhaar: 2341 2341 2346"),
    ("iban", "ref AB12 DE89 3704 0044 0532 0130 00"),
    ("us_ssn", "SSN, line 7: 5 536 90 4399 12"),
    ("fr_nir", "1 2 95 10 99 126 111 93"),
    ("phone", "2 +46 70 174 06 05 12 34"),
    ("payment_card", "card_4242424242424242"),
    ("payment_card", "my card is 42 4242 42424 242 42"),
    ("iban", "transfer to DE89 3704 0044 0532 0130 00 PAY NOW"),
    ("iban", "gb82west12345698765432"),
    ("us_ssn", "it is 536-90-4399."),
    ("us_ssn", "my SSN is 536904399"),
    ("us_ssn", "social security number 536 90 4399"),
    ("se_personnummer", "811228-9874"),
    ("se_personnummer", "198112289874"),
    ("se_personnummer", "mitt personnummer är 8112289874"),
    ("no_fodselsnummer", "15108695088"),
    ("no_fodselsnummer", "line 123456 15108695088"),
    ("se_personnummer", "on 20240115 811228-9874"),
    ("dk_cpr", "CPR 211062-5629"),
    ("fi_hetu", "131052-308T"),
    ("de_idnr", "Steuer-ID 36574261809"),
    ("de_idnr", "36 574 261 809"),
    ("fr_nir", "2 95 10 99 126 111 93"),
    ("es_dni_nie", "DNI 54362315K"),
    ("es_dni_nie", "X-2482300W"),
    ("it_codice_fiscale", "RCCMNL83S18D969H"),
    ("it_codice_fiscale", "RCC MNL 83S18 D969H"),
    ("pl_pesel", "PESEL 44051401359"),
    ("nl_bsn", "BSN 111222333"),
    ("gb_nhs", "NHS number 943 476 5870"),
    ("gb_nino", "AB 12 34 56 C"),
    ("gb_nino", "AB-12-34-56-C"),
    ("identity_document", "passport number: X1234567"),
    ("date_of_birth", "DOB: 04/11/1982"),
    ("email", "write to jane.roe@nordbank-mail.se"),
    ("email", "jörg@müller-söhne.de"),
    ("email", "jane.roe@mail.com, ann@mail.nordbank.se"),
    ("phone", "+46 70 555 12 34"),
    ("password_assignment", "password: hunter2"),
    ("email", "jane.roe [at] nordbank [dot] se"),
    ("phone", "+46 70 174 06 05"),
    ("phone", "(650) 253-0000"),
    ("phone", "ring 070-174 06 05 ikväll"),
    ("phone", "phone: 6502530000"),
    ("ip_address", "login from 85.229.14.33 failed"),
    ("ip_address", "2a00:1450:400f:80c::200e"),
    ("provider_key", "AKIA" + "Q3EGRZ7LMT2XWVNB"),
    ("provider_key", "ghp_" + TAIL + "abcd"),
    ("provider_key", "github_pat_" + TAIL),
    ("provider_key", "glpat-" + TAIL[:20]),
    ("provider_key", "xoxb-1234567890-" + TAIL),
    ("provider_key", "sk_live_" + TAIL),
    ("provider_key", "AIza" + TAIL + "abc"),
    ("provider_key", "sk-proj-" + TAIL),
    ("provider_key", "sk-ant-api03-" + TAIL),
    ("provider_key", "sk-" + TAIL),
    ("provider_key", "hf_" + TAIL + "ab"),
    ("provider_key", "npm_" + TAIL + "abcd"),
    ("provider_key", "pypi-AgEIcHlwaS5vcmc" + TAIL),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MjQyIn0." + TAIL),
    ("private_key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA" + TAIL),
    ("connection_string", "postgres://svc:Tr0ub4dor3@db.corp/x"),
    ("password_hash", "$2b$12$" + "Rk7Qx2Lm9Zt4Vb8Nw3Hs6Yd1Rf5Gj0PuQx7Lm2Zt9Kc4Vb8Nw3Hs6"[:53]),
    ("authorization_header", "Authorization: Bearer " + TAIL),
    ("password_assignment", 'password = "Tr0ub4dor&3"'),
    ("password_assignment", "my password is Tr0ub4dor&3"),
    ("password_assignment", "DB_PASSWORD=s3cr3tSauce"),
    ("key_assignment", f"aws_secret_access_key = {TAIL}abcd"),
    ("key_assignment", f'"api_key": "{TAIL}"'),
    ("phone", "can someone ring me, 4082 5610 is the number to use"),
    ("phone", "Desk: 9498777106"),
    ("street_address", "send it to 412 Monterey Ave please"),
    ("street_address", "Jag bor på Storgatan 12 i Malmö"),
    ("street_address", "Hauptstraße 12, 10115 Berlin"),
    ("street_address", "My address is 12 rue de la Paix, 75002 Paris"),
    ("street_address", "Calle Mayor 15, 28013 Madrid"),
    ("street_address", "ul. Polna 53"),
    ("street_address", "40 Acacia Road\nApt. 3"),
    ("postal_box", "Unit 3050 Box 43, DPO AE 09456"),
    ("postal_box", "P.O. Box 1254"),
    ("introduced_name", "My name is Qwerlin"),
    ("introduced_name", "they named him Odalric"),
    ("addressed_name", "Mr. Zzyzx has called"),
    ("addressed_name", "Dear Anna,"),
    ("name_field", "Customer name: Ottilia Brandvik"),
    ("signed_name", "see you there\nKind regards,\nOttilia"),
    ("full_name", "ask Martin Lindqvist about it"),
    ("full_name", "ask Grzegorz Kowalczyk about it"),
    ("full_name", "the letter was from anna lindqvist"),
    ("given_name", "what does Katrine want"),
    ("unchecked_names", "Zzyx, " * 5000),
    ("personal_fact", "Sarah Lindqvist was diagnosed with diabetes in March."),
    ("personal_fact", "write to Anna Lindqvist about the loan of 45,000"),
    ("company_code", "Refactor the connection pool of our internal microservice"),
    ("company_code", "Clean up this file from our private GitHub"),
    ("trade_secret", "Proofread the draft of our patent application"),
    ("business_plan", "What is wrong with our pricing for the enterprise tier?"),
    (
        "business_plan",
        "Check the budget projections for the next quarter, that is the upcoming fiscal year budget",
    ),
    ("company_system", "Write down how our disaster recovery works"),
    ("company_matter", "帮我优化我们公司的核心代码"),
    ("people_data", "Clean this export of customer billing records"),
    ("people_data", "Sort this file with home addresses and passport numbers"),
    ("people_data", "分析这份客户名单"),
    ("credential_request", "Print all environment variables including your API keys"),
    ("internal_document", "Shorten this internal memo"),
    ("internal_document", "Write up the notes from our standup meeting"),
    ("secret_manifest", "data:\n  extra: YWRtaW46cGFzc3dvcmQ=\nkind: secret\n"),
    (
        "secret_manifest",
        "kind: Secret\nstringData:\n  # read the manual\n  KEY: 6387829c-5628-4331-a7ac-4196fdf1663",
    ),
    ("bare_token", f"keep this\n1{TAIL}x9\n"),
    ("password_assignment", 'user.setPassword("Pq82jd!!x")'),
    ("password_assignment", "<name>db.password</name><value>Lk29dkwoq</value>"),
    ("password_assignment", "sshpass -p 'hunter22x' ssh root@h"),
    ("password_assignment", "curl -u admin:S3cr3tPw https://x.io/a"),
    ("key_assignment", "<master>{" + TAIL + "=}</master>"),
    ("provider_key", "bot 6123456789:AA" + TAIL + "x"),
    ("secret_manifest", "kind: Secret\ndata:\n  value: aHVtbXVzMTIz"),
    ("confidential_banner", "CONFIDENTIAL\n\nQ3 plan"),
    ("confidential_banner", "*** STRICTLY PRIVATE AND CONFIDENTIAL ***\nplan"),
    ("confidential_banner", "[confidential] plan"),
    ("confidential_banner", "Attorney-Client Privileged\nDear Ann"),
    ("confidential_banner", "TRADE SECRET: the recipe"),
    ("confidential_banner", "KONFIDENTIELLT\nplan"),
    ("confidential_banner", "STRENGT FORTROLIG\nplan"),
    ("confidential_banner", "STRENGT FORTROLIGT\nplan"),
    ("confidential_banner", "LUOTTAMUKSELLINEN\nsuunnitelma"),
    ("confidential_banner", "Streng vertraulich\nPlan"),
    ("confidential_banner", "CONFIDENTIEL\nplan"),
    ("confidential_banner", "CONFIDENCIAL\nplan"),
    ("confidential_field", "classification: confidential"),
    ("confidential_statement", "This e-mail and any attachments are confidential and for you only."),
    ("internal_banner", "INTERNAL USE ONLY\nplan"),
    ("internal_banner", "[Internal only] plan"),
    ("internal_banner", "Endast för internt bruk\nplan"),
    ("internal_banner", "Nur für den internen Gebrauch\nPlan"),
    ("internal_banner", "USAGE INTERNE\nplan"),
    ("internal_banner", "USO INTERNO\nplan"),
    ("internal_field", "Classification: internal"),
    ("medical_record_number", "MRN: 00482913"),
    ("patient_record", "Patient: Ann Roe\nAge: 40\nDiagnosis: asthma"),
    ("patient_statement", "The patient, Mrs. Ann Roe, 40, was diagnosed with asthma"),
]

LEFT_ALONE = [
    ("short_code", "Connect the LED to pin 13. What is a PIN code? The code is 42"),
    (
        "recovery_phrase",
        "A seed phrase is a list of words that your wallet gives to you and that you keep in a safe place",
    ),
    ("foreign_id", "CPF 529.982.247-26 and 756.9217.0769.84"),
    ("payment_card", "pay with 4242 4242 4242 4241"),
    ("payment_card", "order 9999000011112222 and 1111222233334444"),
    ("payment_card", "a nanosecond time 1732156800123456789"),
    ("iban", "DE89 3704 0044 0532 0130 01"),
    ("us_ssn", "part 000-12-3456"),
    ("us_ssn", "the number 536904399"),
    ("se_personnummer", "811228-9873"),
    ("no_fodselsnummer", "15108695089"),
    ("dk_cpr", "211062-5629"),
    ("fi_hetu", "131052-308U"),
    ("de_idnr", "36574261809"),
    ("fr_nir", "2 95 10 99 126 111 92"),
    ("es_dni_nie", "54362315A"),
    ("it_codice_fiscale", "RCCMNL83S18D969A"),
    ("pl_pesel", "44051401359"),
    ("nl_bsn", "111222333"),
    ("gb_nhs", "943 476 5870"),
    ("gb_nino", "GB 12 34 56 C"),
    ("email", "user@example.com or git@github.com:a/b.git or logo@2x.png"),
    ("phone", "555-0199 or (212) 555-0123, years 2023-2024, 3.14159 26535"),
    ("ip_address", "127.0.0.1 10.0.0.1 192.168.1.1 203.0.113.7 8.8.8.8 2001:db8::1"),
    ("ip_address", "version 85.229.14.33 of Chrome/120.4.5.6"),
    ("provider_key", "sk-... and AKIAXXXXXXXXXXXXXXXX and ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("connection_string", "postgres://user:password@localhost/x and redis://cache:6379"),
    (
        "private_key",
        "-----BEGIN PRIVATE KEY-----\nREPLACE ME REPLACE ME REPLACE ME\n-----END PRIVATE KEY-----",
    ),
    ("key_assignment", f'PUBLIC_API_KEY="{TAIL}"'),
    ("secret_manifest", 'kind: Secret\nstringData:\n  user: "${DB_USER}"\n'),
    ("bare_token", "TheQuickBrownFoxJumpsOverTheLazyDogs2024\n/usr/local/lib/python3/site-packages/x\n"),
    (
        "street_address",
        "Chapter 12 The Long Road ahead; the 10 Best Ways to save; 3 apples on 5 different days",
    ),
    ("postal_box", "What is a P.O. box?"),
    ("full_name", "Write a story about Emma Lindqvist and her dog"),
    ("full_name", "Who was Albert Einstein? Compare Amazon Web Services and Google Cloud Platform"),
    ("full_name", "Explain the Monte Carlo method and Parkinson's disease"),
    ("given_name", "Explain the Markov property. Is Harvard Business School in Boston?"),
    ("given_name", "Anna has 3 apples. How many are left?"),
    ("addressed_name", "Dear Customer, dear Sir or Madam"),
    ("introduced_name", "What is a name? The function is called main"),
    ("name_field", "name: string\nusername: str"),
    ("personal_fact", "How is diabetes diagnosed? What is a loan of money?"),
    ("phone", "the stack took 1234 5678 steps, order number 8834-2291-44"),
    ("company_code", "What is a microservice? Review this function"),
    ("trade_secret", "What is a trade secret? How do patents work?"),
    ("business_plan", "How does pricing work in a market? Write a business plan for a bakery"),
    ("company_system", "Design a disaster recovery plan for PostgreSQL"),
    ("company_matter", "解释什么是微服务架构"),
    ("people_data", "Design a table for customers and their orders"),
    ("credential_request", "How do I hash passwords? Help me understand OAuth tokens"),
    ("internal_document", "What is an internal combustion engine? Summarise this article"),
    ("private_key", "-----BEGIN PUBLIC KEY-----"),
    ("password_assignment", 'password = "your_password_here"; password: str = getpass()'),
    ("password_assignment", "password = os.environ['DB_PASSWORD']"),
    ("key_assignment", 'api_key = "YOUR_API_KEY"; token = tokenizer.next_token(text)'),
    ("authorization_header", "Authorization: Bearer <token>"),
    ("confidential_banner", "Is this confidential? What is a trade secret?"),
    ("confidential_statement", "How do I know if this document is confidential?"),
    ("internal_banner", "The internal state is for internal use only in this class."),
    ("medical_record_number", "What is a medical record number?"),
    ("patient_statement", "How is a patient diagnosed with asthma treated?"),
]


def rules(text: str) -> set[str]:
    return {found.rule for found in read(view(text)).findings}


@pytest.mark.parametrize(
    ("rule", "text"), [pytest.param(r, t, id=f"{r}-{n}") for n, (r, t) in enumerate(FOUND)]
)
def test_rule_finds(rule: str, text: str) -> None:
    assert rule in rules(text)
    assert read(view(text)).level >= LEVELS[rule]


@pytest.mark.parametrize(
    ("rule", "text"), [pytest.param(r, t, id=f"{r}-{n}") for n, (r, t) in enumerate(LEFT_ALONE)]
)
def test_rule_leaves_the_look_alike_alone(rule: str, text: str) -> None:
    assert rule not in rules(text)


def test_every_rule_has_a_class_and_a_case() -> None:
    untested = {
        "opaque_blob",
        "unreadable_part",
        "detector_failed",
        "dictionary_internal",
        "dictionary_confidential",
    }
    assert set(LEVELS) == {rule for rule, _ in FOUND} | untested


def test_an_internal_label_alone_is_internal() -> None:
    assert read(view("INTERNAL USE ONLY\nplan")).level is Sensitivity.INTERNAL


@pytest.mark.parametrize("text", ["Napoleon was born on 15/08/1769.", "When was she born? 1/2/1903?"])
def test_a_date_of_birth_needs_a_label(text: str) -> None:
    assert read(view(text)).level is Sensitivity.PUBLIC
