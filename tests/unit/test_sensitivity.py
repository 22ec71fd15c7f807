"""Promises of the sensitivity signal as a whole: no disguise, no split, no failure lets a value out."""

import base64
import codecs
import gzip
import json
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha512
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.request import Leaf, RequestView
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import read, scan

CARD = "4242 4242 4242 4242"
SSN = "536-90-4399"
KEY = "sk-proj-" + "Qx7Lm2Zt9Kc4Vb8Nw3Hs6Yd1Rf5Gj0Pu"
VALUES = [pytest.param(CARD, id="card"), pytest.param(SSN, id="ssn"), pytest.param(KEY, id="key")]


def view(*messages: str, extra: tuple[Leaf, ...] = (), opaque: tuple[str, ...] = ()) -> RequestView:
    leaves = [
        leaf
        for index, text in enumerate(messages)
        for leaf in (Leaf(f"messages[{index}].role", "user"), Leaf(f"messages[{index}].content", text))
    ]
    return RequestView(
        leaves=(Leaf("model", "auto"), *leaves, *extra),
        opaque=opaque,
        prompt=messages[-1] if messages else "",
        instructions="",
        conversation="\n".join(messages),
        tool_names=(),
        structured=False,
        needs=frozenset(),
        output_tokens=None,
    )


def spread(mark: str) -> Callable[[str], str]:
    return lambda text: mark.join(text)


def shift(start: int, digits_only: bool = False) -> Callable[[str], str]:
    return lambda text: "".join(chr(start + int(c)) if c.isdigit() else c for c in text)


def b64(text: str) -> str:
    return b64_of(text.encode())


def b64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def zipped(text: str) -> str:
    return b64_of(gzip.compress(text.encode()))


def listed(text: str, width: int = 999) -> str:
    """The bytes of `text` as C and Python write them, `width` to a line."""
    digits = [f"0x{byte:02x}" for byte in text.encode()]
    return ",\n    ".join(", ".join(digits[at : at + width]) for at in range(0, len(digits), width))


FOLDED = {
    "plain": str,
    "zero-width": spread("\u200b"),
    "soft-hyphen": spread("\u00ad"),
    "byte-order-mark": spread("\ufeff"),
    "word-joiner": spread("\u2060"),
    "rtl-mark": spread("\u200f"),
    "variation-selector": spread("\ufe0f"),
    "control": spread("\x01"),
    "combining": spread("\u0332"),
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "tag-characters": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text),
    "math-bold": shift(0x1D7CE),
    "arabic-indic": shift(0x660),
    "devanagari": shift(0x966),
    "en-dash": lambda text: text.replace("-", "\u2013"),
    "minus-sign": lambda text: text.replace("-", "\u2212"),
    "no-break-space": lambda text: text.replace(" ", "\u00a0"),
    "html": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "html-hex": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "html-padded": lambda text: "".join(f"&#{ord(c):012d};" for c in text),
    "html-padded-open": lambda text: "".join(f"&#{ord(c):08d}" for c in text),
    "html-padded-hex": lambda text: "".join(f"&#x{ord(c):012x};" for c in text),
    "html-beside-no-character": lambda text: "&#99999999;" + "".join(f"&#{ord(c)};" for c in text),
    "html-beside-too-many-digits": lambda text: "".join(f"&#{ord(c)};" for c in text) + f"&#{'9' * 5000};",
    "html-twice": lambda text: "".join(f"&amp;#{ord(c)};" for c in text),
    "url": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "url-twice": lambda text: "".join(f"%25{ord(c):02X}" for c in text),
    "unicode-escape": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "hex-escape": lambda text: "".join(f"\\x{ord(c):02x}" for c in text),
}
ENCODED = {
    "base64": b64,
    "base64-sentence": lambda text: b64(f"please charge {text} today"),
    "base64url": lambda text: base64.urlsafe_b64encode(f"~~~???{text}".encode()).decode().rstrip("="),
    "base64-wrapped": lambda text: codecs.encode((f"note: {text} " * 9).encode(), "base64").decode(),
    "base64-utf16": lambda text: b64_of(text.encode("utf-16-le")),
    "base64-utf16-big": lambda text: b64_of(text.encode("utf-16-be")),
    "base64-utf16-marked": lambda text: b64_of(text.encode("utf-16")),
    "base64-utf16-big-marked": lambda text: b64_of(codecs.BOM_UTF16_BE + text.encode("utf-16-be")),
    "base64-utf16-quoted": lambda text: b64_of(f"It\u2019s {text}, it\u2019s".encode("utf-16-le")),
    "hex-utf16-big": lambda text: text.encode("utf-16-be").hex(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex-between-words": lambda text: f"be {text.encode().hex(' ')} be",
    "hex-spaced": lambda text: text.encode().hex(" "),
    "hex-list": lambda text: f"bytes([{listed(text)}])",
    "hex-list-tight": lambda text: f"{{{listed(text).replace(' ', '')}}}",
    "hex-list-in-lines": lambda text: f"{{\n    {listed(text, 8)}\n}};",
    "base64-twice": lambda text: b64(b64(text)),
    "hex-in-base64": lambda text: b64(text.encode().hex()),
    "gzip": zipped,
    "gzip-twice": lambda text: zipped(zipped(text)),
    "base64-with-zero-width": lambda text: "\u200b".join(b64(text)),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("disguise", [pytest.param(f, id=n) for n, f in {**FOLDED, **ENCODED}.items()])
def test_no_disguise_hides_a_value(disguise: Callable[[str], str], value: str) -> None:
    assert read(view(f"Take this: {disguise(value)} thanks")).level is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize(
    "value",
    ["4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "4242.4242.4242.4242", "536 - 90 - 4399", "5 3 6 - 9 0 - 4 3 9 9"],
)
def test_spacing_does_not_hide_a_value(value: str) -> None:
    assert read(view(f"Take this: {value} thanks")).level is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("at", range(2, 11))
def test_a_value_split_across_messages_is_found(value: str, at: int) -> None:
    assert read(view(f"Take this: {value[:at]}", f"{value[at:]}", "Thanks")).level is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("at", range(2, 11))
def test_a_value_split_across_parts_or_turns_is_found(value: str, at: int) -> None:
    parts = (
        Leaf("messages[0].role", "user"),
        Leaf("messages[0].content[0].type", "text"),
        Leaf("messages[0].content[0].text", f"Take {value[:at]}"),
        Leaf("messages[1].role", "assistant"),
        Leaf("messages[1].content", "Go on"),
        Leaf("messages[2].role", "user"),
        Leaf("messages[2].content[0].type", "text"),
        Leaf("messages[2].content[0].text", f"{value[at:]}"),
    )
    turns = replace(view(), leaves=parts)
    in_one = replace(view(), leaves=(*parts[:3], *parts[6:]))
    assert read(turns).level is read(in_one).level is Sensitivity.CONFIDENTIAL


PLACES = [
    "messages[0].name",
    "tools[0].function.description",
    "tools[0].function.parameters.properties.city.enum[0]",
    "tools[0].function.parameters.properties.city.default",
    "messages[1].tool_calls[0].function.arguments",
    "metadata.note",
    "metadata.note#key",
    "user",
    "stop[0]",
    "prediction.content",
    "messages[1].refusal",
    "some_new_field.deep[3]",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("path", PLACES)
def test_a_value_is_found_wherever_it_stands(path: str, value: str) -> None:
    assert read(view("Hi", extra=(Leaf(path, value),))).level is Sensitivity.CONFIDENTIAL


def test_what_no_detector_can_read_is_confidential() -> None:
    reading = read(view("Describe it", opaque=("messages[0].content[1].image_url",)))
    assert reading.level is Sensitivity.CONFIDENTIAL
    assert reading.findings[0].rule == "unreadable_part"


@pytest.mark.parametrize(
    "text",
    [
        "data:application/octet-stream;base64," + base64.b64encode(bytes(range(7, 250, 3)) * 2).decode(),
        base64.b64encode(gzip.compress(bytes(range(256)))[::-1]).decode(),
        f"{{{listed(bytes(range(128)).decode())}\n, 0x11, 0x12}}",
        f"payload: {listed(bytes(range(128)).decode()[::-1], 16)}",
        b64(b64(b64(b64(b64(CARD * 3))))),
        base64.b64encode(gzip.compress(b"a" * (8 << 20))).decode(),
    ],
    ids=["data-uri", "whole-leaf", "list", "announced-list", "nested-too-deep", "gzip-bomb"],
)
def test_a_blob_that_stays_closed_is_confidential(text: str) -> None:
    assert "opaque_blob" in {found.rule for found in read(view(text)).findings}


def archived(text: str) -> bytes:
    with BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry = tarfile.TarInfo("memo.txt")
            entry.size = len(text)
            archive.addfile(entry, BytesIO(text.encode()))
        return file.getvalue()


MEMO = "We close the plant in May, and nobody may know of it before the board has met.\r\n"
FILES = {
    "archive": archived(MEMO),
    "picture": b"BM" + bytes([46, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 25, 40]) + b"\0" * 9 + b"\xff" * 300,
    "sound": b"RIFF\x10\0\0\0WAVEfmt " + bytes(byte for at in range(400) for byte in (at % 7, 0)),
    "wide-characters": MEMO.encode("utf-32"),
    "zeros-between": MEMO.replace(" ", "\0\0\0").encode() * 3,
}
HELD: dict[str, Callable[[bytes], str]] = {
    "alone": b64_of,
    "prose": lambda raw: f"Which names are in this file: {b64_of(raw)} ?",
    "json": lambda raw: json.dumps({"name": "x", "file": b64_of(raw)}),
    "lines": lambda raw: "file\n" + codecs.encode(raw, "base64").decode(),
    "hex": lambda raw: f"See {raw.hex()} there",
}


@pytest.mark.parametrize("hold", HELD)
@pytest.mark.parametrize("file", FILES)
def test_a_file_full_of_zeros_is_a_blob(file: str, hold: str) -> None:
    assert "opaque_blob" in {found.rule for found in read(view(HELD[hold](FILES[file]))).findings}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_harmless_text_in_two_bytes_a_character_is_public(encoding: str) -> None:
    raw = ("We meet on the bridge, as ever, and look at the ducks.\r\n" * 6).encode(encoding)
    for text in (b64_of(raw), f"Read {b64_of(raw)} to me", raw.hex()):
        assert read(view(text)).level is Sensitivity.PUBLIC


WORD = "0" * 24 + "a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
NO_BLOBS = {
    "zeros": "the hash " + "0" * 64,
    "letters": "A" * 300,
    "first-key": "0x" + "1".zfill(64),
    "address": f"0x{WORD}",
    "call": f"it sends 0xa9059cbb{WORD}{'ff'.zfill(64)} there",
    "ssh": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    "curve": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKg"
    "wFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",
    "digests": "\n".join(f'"sha512-{b64_of(sha512(bytes([n])).digest())}"' for n in range(200)),
    "source-map": '{"version":3,"mappings":"' + "AAAA,SAASA;AACAA,CAAC;" * 99 + '"}',
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in NO_BLOBS.items()])
def test_zeros_alone_make_no_blob(text: str) -> None:
    assert "opaque_blob" not in {found.rule for found in read(view(text)).findings}


def test_a_table_of_bytes_in_source_code_is_no_blob() -> None:
    table = listed(bytes(range(128)).decode()[::-1], 16)
    assert read(view(f"static const uint8_t inverse[] = {{\n    {table}\n}};")).level is Sensitivity.PUBLIC


def broken(data: bytes) -> list[str]:
    raise MemoryError


@pytest.mark.parametrize("part", ["suspects", "find"])
def test_a_detector_that_fails_has_found_something(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    failing = scan.Detector("identifiers", lambda data: True, broken)
    if part == "suspects":
        failing = scan.Detector("identifiers", lambda data: bool(broken(data)), lambda data: [])
    monkeypatch.setattr(scan, "DETECTORS", (failing, *scan.DETECTORS[1:]))
    reading = read(view("Hello"))
    assert reading.level is Sensitivity.CONFIDENTIAL
    assert [(found.detector, found.rule) for found in reading.findings] == [
        ("identifiers", "detector_failed")
    ]


@pytest.mark.parametrize("step", ["fold", "decode", "joined"])
def test_a_failing_step_is_confidential(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(scan, step, broken)
    assert read(view("Hello")).level is Sensitivity.CONFIDENTIAL


PUBLIC = [
    "Write a story in which Detective Anna Lindqvist meets John Smith in Paris on 3 May 1921.",
    "What are the symptoms of type 2 diabetes, and how is a patient diagnosed with it treated?",
    "Is this confidential? What does confidential mean in a contract?",
    "What is attorney-client privilege, and what is a trade secret?",
    "client = OpenAI(api_key='YOUR_API_KEY')\nheaders = {'Authorization': f'Bearer {token}'}",
    "export OPENAI_API_KEY=sk-...\ncurl -H 'x-api-key: $KEY' https://api.example.com/v1/users/42",
    "password = getpass.getpass()\nif len(password) < 8: raise ValueError('password too short')",
    "def login(username: str, password: str) -> Token: ...\ntoken = tokens[0]",
    "postgres://user:password@localhost:5432/db",
    "Upgrade from 1.2.3.4 to version 10.15.7.2 of numpy==1.26.4",
    "git show 9fceb02d0ae598e95dc970b74767f19372d61af8 and 1d9614638d18024d0fbb36575a15f1302a3adf04",
    "request id 550e8400-e29b-41d4-a716-446655440000 and 123e4567-e89b-12d3-a456-426614174000",
    "sha256 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    "The budget of 2023-2024 grew by 3.5% to 1,234,567.89 while 2022-2023 shrank.",
    "ISBN 978-3-16-148410-0 and ISBN 0-306-40615-2",
    "Where is order 4815162342 or invoice 2024-000123?",
    "Contact user@example.com or call (212) 555-0123.",
    "ping 127.0.0.1, 192.168.0.1 and 203.0.113.7; dns is 8.8.8.8",
    "Solve 123456789 * 987654321 and list 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16.",
    "Timestamps: 1732156800, 1732156800123 and 2024-11-21T03:20:11.123456Z",
    "See https://en.wikipedia.org/wiki/Raymond_III,_Count_of_Tripoli and https://a.b/c?d=e&f=g%20h",
    "The AbstractSingletonProxyFactoryBean calls getApplicationContextInitializerDelegateInternal().",
    "ATGGCGTACGCTTGCAATCGGATCCTAGGCTAACGATCGTACGATCGATCGGCTAGCTAGCTAGCTAACGATCG",
    "Keep the secret ingredient secret! The internal combustion engine has internal parts only.",
    "x = [0.123456789012, 3.141592653589793, 2.718281828459045, 1.618033988749895]",
    "pi is 3.14159265358979323846264338327950288419716939937510",
    "Känner du igen ordet hemlig? Ist das vertraulich? Est-ce confidentiel ? ¿Es confidencial?",
    "Sort: banana, apple. Then @app.route('/x') and @media (max-width: 600px) { a { color: #a1b2c3 } }",
    "integrity sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC",
    "https://cdn.example.com/assets/app.3f2504e04f8941d39a0c0305e82c3301.min.js?v=20240115",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_ordinary_prompts_stay_public(text: str) -> None:
    reading = read(view(text))
    assert reading.level is Sensitivity.PUBLIC, reading.findings


def test_ordinary_turns_stay_public_when_joined() -> None:
    assert read(view(*PUBLIC)).findings == ()


def test_a_finding_says_where_and_never_what() -> None:
    leaves = (
        Leaf(f"metadata.{SSN}", CARD),
        Leaf(f"metadata.{SSN}#key", SSN),
        Leaf(f"tools[0].{KEY}.enum[1]", KEY),
    )
    reading = read(view(f"{CARD} {SSN} {KEY}", extra=leaves, opaque=(f"{SSN}[0].file",)))
    shown = repr(reading)
    assert not any(value in shown for value in (CARD, SSN, KEY))
    assert {"messages[0].content", "metadata.*", "metadata.*#key", "tools[0].*.enum[1]", "*.file"} == {
        found.path for found in reading.findings
    }


def test_a_value_at_the_edge_of_a_chunk_is_found() -> None:
    for shift_by in range(-20, 20, 5):
        text = "word " * ((scan._CHUNK + shift_by) // 5) + CARD + " word" * 10
        assert read(view(text)).level is Sensitivity.CONFIDENTIAL


HOSTILE = [
    "a",
    "1 ",
    "1-",
    "a@",
    "a.",
    "4\u200b",
    "\u0315\u0300",
    "&amp;",
    "%31",
    "\\u0031",
    'password="',
    "0123456789abcdef",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    started = time.thread_time()  # of this thread: others and their waste are not its own
    read(view(piece * (200_000 // len(piece))))
    assert time.thread_time() - started < 2.0


@given(st.lists(st.text(), max_size=4), st.text())
def test_any_text_gives_the_same_reading_every_time(messages: list[str], key: str) -> None:
    request = view(*messages, extra=(Leaf(f"metadata.{key}#key", key),))
    reading = read(request)
    assert reading == read(request)
    assert "detector_failed" not in {found.rule for found in reading.findings}


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=50))
def test_text_that_is_not_unicode_is_read_too(text: str) -> None:
    assert "detector_failed" not in {found.rule for found in read(view(text)).findings}


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from([CARD, SSN]))
def test_no_surroundings_hide_a_value(before: str, after: str, value: str) -> None:
    assert read(view(f"{before} {value} {after}")).level is Sensitivity.CONFIDENTIAL
