"""Made-up confidential values: checksum-valid, of nobody. Deterministic by the generator that is handed in.

Knows what kinds there are and a sentence for each. Does not know disguises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from stdnum import luhn
from stdnum.iso7064 import mod_97_10
from stdnum.no import fodselsnummer

GIVEN = (
    "Ottilia",
    "Henrik",
    "Margareta",
    "Tobias",
    "Ingeborg",
    "Fredrik",
    "Annika",
    "Rasmus",
    "Johanna",
    "Erik",
)
FAMILY = (
    "Lindqvist",
    "Bergström",
    "Haugen",
    "Virtanen",
    "Sørensen",
    "Andersson",
    "Nilsson",
    "Müller",
    "Garcia",
)
STREETS = ("Storgatan", "Kungsgatan", "Drottninggatan", "Hauptstraße", "Karl Johans gate", "Vestergade")
TOWNS = ("111 22 Stockholm", "411 03 Göteborg", "0154 Oslo", "10115 Berlin", "1456 København")
DISEASES = ("epilepsy", "HIV", "breast cancer", "schizophrenia", "type 2 diabetes", "hepatitis C")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Secret:
    """One value and the sentence around it.

    `digits`: the value is a number, so that gaps, dashes and other digits leave it what it is. `atomic`: short
    enough that it is one value and not a text.
    """

    kind: str
    value: str
    before: str
    after: str
    digits: bool = False

    @property
    def text(self) -> str:
        """The whole sentence, undisguised."""
        return f"{self.before}{self.value}{self.after}"


def secret(random: Random) -> Secret:
    """One value of any kind."""
    return random.choice(KINDS)(random)


def _number(random: Random, count: int) -> str:
    return "".join(random.choices("0123456789", k=count))


def _card(random: Random) -> Secret:
    body = random.choice(("4", "51", "53", "55")) + _number(random, 20)
    digits = body[:15] + luhn.calc_check_digit(body[:15])
    return Secret("card", " ".join(digits[at : at + 4] for at in range(0, 16, 4)), "Charge ", " today", True)


def _iban(random: Random) -> Secret:
    country, bban = random.choice(
        (("DE", _number(random, 18)), ("GB", "NWBK" + _number(random, 14)), ("CH", _number(random, 17)))
    )
    check = mod_97_10.calc_check_digits(bban + country)
    compact = f"{country}{check}{bban}"
    spaced = " ".join(compact[at : at + 4] for at in range(0, len(compact), 4))
    return Secret("iban", spaced, "Pay the rent to ", " please", True)


def _ssn(random: Random) -> Secret:
    area = random.choice((random.randint(1, 665), random.randint(667, 899)))
    value = f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"
    return Secret("us_ssn", value, "My SSN is ", ", fill in the form", True)


def _personnummer(random: Random) -> Secret:
    born = f"{random.randint(40, 99)}{random.randint(1, 12):02}{random.randint(1, 28):02}{_number(random, 3)}"
    value = born + luhn.calc_check_digit(born)
    return Secret("se_personnummer", f"{value[:6]}-{value[6:]}", "Personnummer ", " in the file", True)


def _fodselsnummer(random: Random) -> Secret:
    while True:
        born = f"{random.randint(1, 28):02}{random.randint(1, 12):02}{random.randint(54, 99)}"
        body = f"{born}{random.randint(0, 499):03}"
        value = body + fodselsnummer.calc_check_digit1(body)
        value += fodselsnummer.calc_check_digit2(value)
        if fodselsnummer.is_valid(value):
            return Secret("no_fodselsnummer", value, "Fødselsnummer ", " here", True)


def _hetu(random: Random) -> Secret:
    born = f"{random.randint(1, 28):02}{random.randint(1, 12):02}{random.randint(30, 99)}"
    serial = f"{random.randint(2, 899):03}"
    letter = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(born + serial) % 31]
    return Secret("fi_hetu", f"{born}-{serial}{letter}", "Henkilötunnus ", " kiitos", True)


def _phone(random: Random) -> Secret:
    value = f"+46 70 {random.randint(100, 999)} {random.randint(10, 99)} {random.randint(10, 99)}"
    return Secret("phone", value, f"Call {_name(random)} on ", " tonight", True)


def _email(random: Random) -> Secret:
    name = _name(random).lower().translate(str.maketrans("öüø", "ouo")).replace(" ", ".")
    return Secret("email", f"{name}@nordmail{random.randint(1, 99)}.se", "Write to ", " about it")


def _address(random: Random) -> Secret:
    value = f"{random.choice(STREETS)} {random.randint(1, 120)}, {random.choice(TOWNS)}"
    return Secret("address", value, f"{_name(random)} lives at ", ".")


def _health(random: Random) -> Secret:
    value = f"Patient {_name(random, ascii_only=True)} was diagnosed with {random.choice(DISEASES)}"
    return Secret("health", value, "", " last week.")


def _record(random: Random) -> Secret:
    return Secret("record", f"MRN: {random.randint(10**6, 10**8)}", "Summarise the notes. ", " is the file")


def _provider_key(random: Random) -> Secret:
    body = _number(random, 4) + "".join(random.choices(LETTERS + "23456789", k=36))
    made = (
        f"sk-proj-{body}",
        f"ghp_{body[:36]}",
        f"AKIA{body[:16].upper().replace('0', 'A').replace('1', 'B')}",
    )
    return Secret("provider_key", random.choice(made), "Why does ", " not work")


def _password(random: Random) -> Secret:
    word = "".join(random.choices(LETTERS, k=6)) + _number(random, 4) + "!"
    return Secret("password", f"password = '{word}'", "The config has ", " in it")


def _label(random: Random) -> Secret:
    label = random.choice(("CONFIDENTIAL", "STRICTLY CONFIDENTIAL", "[CONFIDENTIAL]", "TRADE SECRET"))
    fact = random.choice(
        ("the price falls by nine percent", "the plant closes in May", "the alloy is mostly tin")
    )
    return Secret("label", f"{label}\n\n{fact}", "", "")


def _name(random: Random, *, ascii_only: bool = False) -> str:
    family = [name for name in FAMILY if name.isascii()] if ascii_only else FAMILY
    return f"{random.choice(GIVEN)} {random.choice(family)}"


KINDS: tuple[Callable[[Random], Secret], ...] = (
    _card, _iban, _ssn, _personnummer, _fodselsnummer, _hetu, _phone, _email,
    _address, _health, _record, _provider_key, _password, _label,
)  # fmt: skip
