"""Where to look: the leaves, and the texts a value split across leaves adds up to.

Knows request paths and joins. Does not look for anything.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from serve.request import Leaf, RequestView
from serve.signals.sensitivity.pattern import Pattern

_JOINED_PATH = "messages"
_REST_PATH = "request"
JOINED_PATHS = frozenset((_JOINED_PATH, _REST_PATH))
_SEAM = 160
_SHORT = 40
_FEW = 50
_MOST_PIECES = 4
_SEPARATOR = "\n\n"

_MESSAGE = Pattern(r"^((?:messages|input)\[[0-9]+\])")
_SHOWN = Pattern(r"\.(?:default|const|example|examples\[[0-9]+\]|enum\[[0-9]+\])$")
_PROPERTY = Pattern(r"\.properties\.([^.\[\]]+)$")
_STRUCTURE = frozenset(
    ("role", "type", "id", "tool_call_id", "call_id", "name", "model", "detail", "status", "object")
)

# Free-form keys are the client's text and may themselves be the value, so a path shows
# only words of the wire formats.
_VOCABULARY_WORDS = """
    messages input content text role type name id tool_calls tool_call_id function arguments tools
    parameters properties items description enum default title examples const required
    additionalProperties strict schema json_schema response_format format metadata user stop
    stop_sequences system instructions prompt prediction refusal reasoning reasoning_content
    thinking output result source url image_url input_audio data file file_data filename file_id
    detail citations annotations audio video document documents context title suffix model
    prompt_cache_key safety_identifier service_tier logit_bias input_schema tool_choice tool_use_id
    signature extra_body input_text call_id summary transcript image request
    """
_VOCABULARY = frozenset(_VOCABULARY_WORDS.split())
_ANCHOR = Pattern(r"^([A-Za-z_]+|)(?:\[[0-9]+\]){0,8}(?:#key)?$")


def safe_path(path: str) -> str:
    """`path` with every segment that is not a word of the wire formats shown as `*`."""
    return ".".join(map(_safe_segment, path.split(".")))


def _safe_segment(segment: str) -> str:
    known = next((hit.value in _VOCABULARY or not hit.value for hit in _ANCHOR.hits(segment)), False)
    return segment if known else "*#key" if segment.endswith("#key") else "*"


def joined(view: RequestView) -> Iterator[Leaf]:
    """The texts that appear when leaves are read as one: a value split between them is whole here."""
    seen: set[str] = set()
    for path, group in _groups(view.leaves):
        for text in _joins(group):
            if text not in seen:
                seen.add(text)
                yield Leaf(path, text)
    yield from _named(view.leaves)
    if not any(_message(leaf) for leaf in view.leaves):
        yield from (Leaf(_JOINED_PATH, text) for text in (view.conversation, view.instructions, view.prompt))


def _named(leaves: Sequence[Leaf]) -> Iterator[Leaf]:
    """Each value of a schema behind its name: the key it stands under, or the property it is an example of."""
    names = {leaf.path.removesuffix("#key"): leaf.text for leaf in leaves if leaf.path.endswith("#key")}
    for leaf in leaves if names else ():
        name = names.get(leaf.path)
        if _SHOWN.found(leaf.path):
            parent = leaf.path.rpartition(".")[0]
            name = names.get(parent) or _property(parent)
        if name and not leaf.path.endswith("#key"):
            yield Leaf(leaf.path, f"{name}: {leaf.text}")


def _property(path: str) -> str:
    """The property that a schema at `path` is for. One whose name is a word of the wire has no leaf for it."""
    return next((hit.value for hit in _PROPERTY.hits(path)), "")


def openings(view: RequestView) -> Iterator[Leaf]:
    """Short parts with the few behind them, each on lines of its own: a marking split between them opens a line."""
    for path, group in _groups(view.leaves):
        if path == _JOINED_PATH and (text := _SEPARATOR.join(_openings(group))):
            yield Leaf(path, text)


def _groups(leaves: Sequence[Leaf]) -> Iterator[tuple[str, list[str]]]:
    """Message text, the text of each role, and everything else, in document order."""
    roles = {leaf.path.removesuffix(".role"): leaf.text for leaf in leaves if leaf.path.endswith("].role")}
    content = [leaf for leaf in leaves if _is_value(leaf)]
    spoken = [(roles.get(message, ""), leaf.text) for leaf in content if (message := _message(leaf))]
    yield _JOINED_PATH, [text for _, text in spoken]
    for role in sorted({role for role, _ in spoken}):
        yield _JOINED_PATH, [text for spoke, text in spoken if spoke == role]
    yield _REST_PATH, [leaf.text for leaf in content if not _message(leaf)]


def _is_value(leaf: Leaf) -> bool:
    return not leaf.path.endswith("#key") and leaf.path.rpartition(".")[2] not in _STRUCTURE


def _message(leaf: Leaf) -> str:
    return next((hit.value for hit in _MESSAGE.hits(leaf.path)), "")


def _joins(parts: Sequence[str]) -> Iterable[str]:
    if len(parts) < 2:
        return ()
    return "".join(parts), _SEPARATOR.join(_seams(parts, "")), _SEPARATOR.join(_seams(parts, " "))


def _seams(parts: Sequence[str], glue: str) -> Iterator[str]:
    """Each seam with the text so far, cut where its second part ends: what follows cannot hide it."""
    before = ""
    for left, right in pairwise(parts):
        before = (before + left)[-_SEAM:] + glue
        yield before + right[:_SEAM]


def _openings(parts: Sequence[str]) -> Iterator[str]:
    short = _SEAM if len(parts) <= _FEW else _SHORT
    for first, part in enumerate(parts):
        text = part
        for piece in parts[first + 1 : first + _MOST_PIECES]:
            if not part or len(part) > short or len(text) > _MOST_PIECES * _SEAM:
                break
            yield text + piece[:_SEAM]
            if len(piece) > _SEAM:  # nothing may be glued to where it was cut
                break
            text += piece
