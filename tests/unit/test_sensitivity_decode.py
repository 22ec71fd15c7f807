"""Attachments are read whole however they are wrapped, and a small file in prose is a blob where a hash is none."""

import base64
import hashlib
import random
from collections.abc import Callable

import pytest

from serve.signals.readings import Sensitivity
from serve.signals.sensitivity.decode import decode
from tests.unit.test_sensitivity_breaks import said

LETTER = "Dear Sir, " + "the quarterly report is fine. " * 9


def lines(text: str, width: int = 76) -> list[str]:
    letters = base64.b64encode(text.encode()).decode()
    return [letters[at : at + width] for at in range(0, len(letters), width)]


WRAPPED: dict[str, Callable[[list[str]], str]] = {
    "mime": "\n".join,
    "crlf": "\r\n".join,
    "escaped": "\\n".join,
    "indented": "\n    ".join,
    "quoted-mail": lambda rows: "".join(f"> {row}\n" for row in rows),
    "twice-quoted-mail": lambda rows: "".join(f">> {row}\n" for row in rows),
    "strings": lambda rows: "x = (\n" + "\n".join(f'    "{row}"' for row in rows) + "\n)",
    "sum-of-strings": lambda rows: " +\n".join(f"'{row}'" for row in rows),
    "words-behind": lambda rows: "\n".join([*rows, "Thanks and regards"]),
    "words-before": lambda rows: "\n".join(["configuration", *rows]),
    "words-around": lambda rows: "\n".join(["see the\nrepresentation", *rows, "Thanks\nBob"]),
    "cut-off": lambda rows: "\n".join(rows)[:-7],
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("width", [64, 76, 77])
def test_a_wrapped_attachment_is_read_whole(how: str, width: int) -> None:
    texts = decode(WRAPPED[how](lines(LETTER, width))).texts
    assert any(text.startswith(LETTER[:250]) for text in texts)


def test_no_first_letter_of_a_line_is_lost() -> None:
    text = "Ü" * 200
    assert any(row[0] == "n" for row in lines(text)[1:])
    assert text in decode("\n".join(lines(text))).texts


def test_what_ends_inside_of_a_character_is_read() -> None:
    raw = ("Malmö, " * 8 + "å").encode()[:-1]
    assert decode(base64.b64encode(raw).decode()).texts[0].startswith("Malmö, ")


PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0" + random.Random(3).randbytes(60)
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + random.Random(4).randbytes(60)
KEY = (
    bytes.fromhex("30770201010420")
    + random.Random(5).randbytes(32)
    + bytes.fromhex("a00a06082a8648ce3d030107")
)
NUMBER = random.Random(6).randbytes(64)


@pytest.mark.parametrize("raw", [PICTURE, PROGRAM, KEY], ids=["picture", "program", "key"])
@pytest.mark.parametrize(
    "written", [bytes.hex, lambda raw: raw.hex(" "), lambda raw: base64.b64encode(raw).decode()]
)
def test_a_small_file_in_prose_is_a_blob(raw: bytes, written: Callable[[bytes], str]) -> None:
    assert decode(f"I got this back from it: {written(raw)} and nothing else.").opaque


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"its sum is {hashlib.sha512(b'a').hexdigest()} there", id="sum"),
        pytest.param(f"signed by {NUMBER.hex()} of 04{NUMBER.hex()} then", id="public-key"),
        pytest.param(f"the token {base64.b64encode(NUMBER).decode()} is public", id="letters"),
        pytest.param(
            "a PNG begins with 89504e470d0a1a0a and a program with 7f454c46020101000000", id="magic"
        ),
        pytest.param(
            ",\n".join(f'  "{hashlib.sha256(bytes([n])).hexdigest()}"' for n in range(20)), id="list-of-sums"
        ),
    ],
)
def test_a_hash_or_a_key_in_prose_is_none(text: str) -> None:
    assert not decode(text).opaque


@pytest.mark.parametrize("how", ["mime", "quoted-mail", "strings", "words-around"])
def test_a_value_across_two_lines_of_an_attachment_is_found(how: str) -> None:
    rows = lines(
        "The numbers are " + "." * 35 + " 4111 1111 1111 1111 and " + "no others are known to us. " * 5
    )
    assert said(WRAPPED[how](rows)) is Sensitivity.CONFIDENTIAL
