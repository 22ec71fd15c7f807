"""A small instruct model as a judge: one forward pass over a question about the request, no word is generated.

What it gives is the probabilities of a few label tokens; a trained head turns them into difficulty and task. Knows
nothing about Ray, batching windows or deadlines; needs torch and transformers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from models.scout import head
from models.scout.features import DENSE, capped, extract
from serve.signals.readings import ScoutReading, TaskReading

Bits = Literal[4, 8, 16, 32]
Device = Literal["cpu", "cuda"]

SHIPPED = Path(__file__).with_name("scout_causal.safetensors")
HEAD_TOKENS = 64
TAIL_TOKENS = 32
DTYPES: dict[Bits, str] = {32: "float32", 16: "bfloat16", 8: "int8", 4: "nf4"}

ASK = (
    "You judge requests to a language model. Do not answer the request: say how difficult it is and its kind."
)
_PLACE = "\x1fTEXT\x1f"
# The answer is begun for the model. A label is read behind each part, in one pass: what follows a place does
# not change what is read there.
PARTS = ("Difficulty:", " unknown\nKind:")
LABELS: tuple[tuple[str, ...], ...] = (
    ("easy", "medium", "hard"),
    (
        *("classification", "extraction", "formatting", "translation", "summary", "rewriting", "question"),
        *("completion", "code", "review", "tool", "reasoning", "essay", "analysis", "other"),
    ),
)
WIDTH = sum(map(len, LABELS))


class LabelReader:
    """An instruct model read from a local directory; nothing is fetched and no remote code runs.

    `threads` is torch's process-wide setting: give the Scout a process of its own.
    """

    def __init__(self, directory: Path, *, device: Device = "cpu", bits: Bits = 32, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._before, self._after = self._frame()
        self._labels = [[self._first(f" {word}") for word in group] for group in LABELS]
        if any(len(set(group)) < len(group) for group in self._labels):
            raise head.ArtefactError(f"{directory}: two labels begin with the same token")
        self._model = loaded(directory, device, bits)
        self._device = device

    @property
    def memory_mib(self) -> int:
        """What parameters and buffers take."""
        return int(self._model.get_memory_footprint()) >> 20

    def logits(self, texts: list[str]) -> head.Floats:
        """Log-probabilities of the labels of each group among themselves, one row per text: [n, 18]."""
        if not texts:
            return np.zeros((0, WIDTH), dtype=np.float32)
        return self.read([self._tokens(text) for text in texts])

    def read(self, rows: Sequence[list[int]]) -> head.Floats:
        """The same for rows of token ids; the shorter ones are padded on the left."""
        width, keep = max(map(len, rows)), len(self._after[1]) + 1
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        mask = (torch.arange(width, device=self._device) >= width - lengths.unsqueeze(1)).long()
        # A model told of no positions would count the padding too.
        places = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            out = self._model(
                input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False, logits_to_keep=keep
            )
            found = [out.logits[:, place, group] for place, group in zip((0, -1), self._labels, strict=True)]
            shares = torch.cat([part.float().log_softmax(-1) for part in found], dim=1)
        numbers: head.Floats = shares.cpu().numpy()
        return numbers

    def _frame(self) -> tuple[list[int], tuple[list[int], list[int]]]:
        """The tokens of the chat template before the text, and those after it up to each place that is read."""
        said = [{"role": "system", "content": ASK}, {"role": "user", "content": _PLACE}]
        whole: str = self._tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        before, _, after = whole.partition(_PLACE)
        return self._ids(before), (self._ids(after + PARTS[0]), self._ids(PARTS[1]))

    def _tokens(self, text: str) -> list[int]:
        """Token ids of the whole question, with the middle of the text left out."""
        readable = capped(text).encode("utf-8", "replace").decode()
        # A text that spells a special token must not end its own turn.
        ids = self._ids(readable, split_special_tokens=True)
        if len(ids) > HEAD_TOKENS + TAIL_TOKENS:
            ids = ids[:HEAD_TOKENS] + ids[-TAIL_TOKENS:]
        return [*self._before, *ids, *self._after[0], *self._after[1]]

    def _first(self, word: str) -> int:
        return self._ids(word)[0]

    def _ids(self, text: str, **options: bool) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False, **options)[
            "input_ids"
        ]
        return ids


class Reader(Protocol):
    """What reads labels: a model, or what a model has read before."""

    def logits(self, texts: list[str]) -> head.Floats: ...


class CausalHead:
    """Judges batches of texts with an instruct model and the head that was trained on its labels."""

    def __init__(self, weights: head.Head, reader: Reader) -> None:
        weights.require_inputs(WIDTH, len(DENSE))
        self._weights = weights
        self._reader = reader

    @classmethod
    def load(cls, reader: Reader, path: Path = SHIPPED) -> "CausalHead":
        """Reads the head; the shipped one is `CAUSAL_LM`'s. Raises `head.ArtefactError` where it cannot be used."""
        return cls(head.load(path), reader)

    def judge(self, texts: list[str]) -> list[tuple[ScoutReading, TaskReading]]:
        """The readings of each text, in order."""
        if not texts:
            return []
        dense = np.stack([extract(text).dense for text in texts])
        wide = self._reader.logits(texts) @ self._weights.wide
        logits = wide + dense @ self._weights.dense + self._weights.bias
        return [self._weights.readings(row, "scout") for row in logits]


def loaded(directory: Path, device: Device, bits: Bits) -> Any:
    """The model, ready for a forward pass. Raises ValueError where `bits` or `device` cannot be had here."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch sees no NVIDIA GPU: try --device cpu")
    if bits in (4, 8) and device != "cuda":
        raise ValueError("4 and 8 bits are bitsandbytes' kernels on a GPU: the processor runs 16 or 32")
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if bits in (4, 8):
        options |= {"quantization_config": quantized(bits), "device_map": device}
    else:
        options |= {"dtype": getattr(torch, DTYPES[bits])}
    kind: Any = AutoModelForCausalLM
    model = kind.from_pretrained(directory, **options).eval()
    return model if bits in (4, 8) else model.to(device)


def quantized(bits: Bits) -> BitsAndBytesConfig:
    """How bitsandbytes stores the weights: NF4 or int8."""
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
