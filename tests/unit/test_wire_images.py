"""Images by value: what begins like the kind it is called is taken as it is, all else is refused by what is wrong."""

import base64

import pytest

from serve.wire import images

BEGINS = {
    "image/png": b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/webp": b"RIFF\x0a\x00\x00\x00WEBPVP8 ",
}
KINDS = pytest.mark.parametrize("kind", BEGINS)


def by_value(kind: str, raw: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


@KINDS
@pytest.mark.parametrize("more", [b"", b"\x00" * 100_000], ids=["bare", "longer"])
def test_an_image_that_begins_as_it_should_is_taken_as_it_is(kind: str, more: bytes) -> None:
    url = by_value(kind, BEGINS[kind] + more)
    assert images.address(url) == url
    data = url.partition(",")[2]
    assert images.data(kind, data) == data


@KINDS
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
        pytest.param(b"%PDF-1.7\n", id="pdf"),
        pytest.param(b"BM\x00\x00\x00\x00", id="bmp"),
        pytest.param(b"RIFF\x0a\x00\x00\x00WAVEfmt ", id="wav"),
        pytest.param(b"GIF88a\x00\x00", id="no-such-gif"),
        pytest.param(b"a", id="one-byte"),
        pytest.param(b" " + BEGINS["image/png"], id="late"),
    ],
)
def test_what_begins_otherwise_is_refused(kind: str, raw: bytes) -> None:
    with pytest.raises(ValueError, match=f"must be {kind}: its first bytes"):
        images.address(by_value(kind, raw))
    with pytest.raises(ValueError, match=f"must be {kind}: its first bytes"):
        images.data(kind, base64.b64encode(raw).decode())


@KINDS
def test_an_image_of_another_kind_than_it_is_called_is_refused(kind: str) -> None:
    for other in BEGINS.keys() - {kind}:
        with pytest.raises(ValueError, match=f"must be {kind}"):
            images.address(by_value(kind, BEGINS[other]))


@pytest.mark.parametrize(
    "data", ["iVBORw0KGgo", "iVBORw0KGgo==", "iVBO Rw0KGgo=", "iVBORw0KGgo=\n", "iVBOR-0KGgo=", "="]
)
def test_what_is_no_base64_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        images.address(f"data:image/png;base64,{data}")
    with pytest.raises(ValueError, match="base64"):
        images.data("image/png", data)
