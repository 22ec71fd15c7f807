"""The Scout's judgement: MiniLM sentence embeddings and a trained linear head over them.

Knows nothing about Ray, batching windows or deadlines; torch and transformers are needed here only.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from models.scout import head
from models.scout.features import DENSE, capped, extract
from serve.signals.readings import ScoutReading, TaskReading

WIDTH = 384
HEAD_TOKENS = 96
TAIL_TOKENS = 32
SHIPPED = Path(__file__).with_name("scout_head.safetensors")


class Encoder:
    """A sentence encoder read from a local directory; nothing is fetched and no remote code runs.

    `threads` is torch's process-wide setting: give the Scout a process of its own.
    """

    def __init__(self, directory: Path, threads: int = 1, device: Literal["cpu", "cuda"] = "cpu") -> None:
        torch.set_num_threads(threads)
        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModel.from_pretrained(directory, local_files_only=True, use_safetensors=True)
        self._model: torch.nn.Module = model.eval().to(device)
        self._device = device

    def embed(self, texts: list[str]) -> head.Floats:
        """One unit vector per text, in order: [n, 384]."""
        if not texts:
            return np.zeros((0, WIDTH), dtype=np.float32)
        rows = [self._tokens(text) for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        mask = (torch.arange(width, device=self._device) < lengths.unsqueeze(1)).long()
        return self._pooled(ids, mask)

    def _tokens(self, text: str) -> list[int]:
        """Token ids with the middle left out; 128 at most, special tokens included."""
        readable = capped(text).encode("utf-8", "replace").decode()
        ids: list[int] = self._tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]
        first, last = HEAD_TOKENS - 1, TAIL_TOKENS - 1
        if len(ids) > first + last:
            ids = ids[:first] + ids[-last:]
        return [self._tokenizer.cls_token_id, *ids, self._tokenizer.sep_token_id]

    def _pooled(self, ids: torch.Tensor, mask: torch.Tensor) -> head.Floats:
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            shares = mask.unsqueeze(-1).to(states.dtype)
            means = (states * shares).sum(1) / shares.sum(1)
            vectors: head.Floats = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
        return vectors


class ScoutHead:
    """Judges batches of texts with an encoder and the shipped head."""

    def __init__(self, weights: head.Head, encoder: Encoder) -> None:
        weights.require_inputs(WIDTH, len(DENSE))
        self._weights = weights
        self._encoder = encoder

    @classmethod
    def load(cls, encoder: Encoder, path: Path = SHIPPED) -> "ScoutHead":
        """Reads the head. Raises `head.ArtefactError` where it cannot be used."""
        return cls(head.load(path), encoder)

    def judge(self, texts: list[str]) -> list[tuple[ScoutReading, TaskReading]]:
        """The readings of each text, in order."""
        if not texts:
            return []
        dense = np.stack([extract(text).dense for text in texts])
        wide = self._encoder.embed(texts) @ self._weights.wide
        logits = wide + dense @ self._weights.dense + self._weights.bias
        return [self._weights.readings(row, "scout") for row in logits]
