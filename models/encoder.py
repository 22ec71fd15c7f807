"""Sentence vectors: texts to tokens and tokens to unit vectors, by the whole of an encoder model kept on disk.

Knows nothing about Ray, batching windows or deadlines; torch, transformers and tokenizers are needed here only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel

Floats = NDArray[np.float32]
Pooling = Literal["mean", "cls"]


class SentenceEncoder:
    """Read from a local directory; nothing is fetched and no remote code runs.

    `threads` is torch's process-wide setting: give an encoder a process of its own.
    """

    def __init__(self, directory: Path, pooling: Pooling = "mean", threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        # Many models ship with both on: texts would be cut in silence.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        model = AutoModel.from_pretrained(
            directory, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        self.longest: int = model.config.max_position_embeddings
        """Tokens of one text that the model has positions for."""
        self._model: torch.nn.Module = model.eval()
        self._pooling = pooling

    def tokens(self, text: str) -> list[int]:
        """Every token of `text`, the model's special ones included."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def embed(self, rows: Sequence[Sequence[int]]) -> Floats:
        """One unit vector per row of tokens, in order: [rows, width of the model]. `rows` must not be empty."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors: Floats = torch.nn.functional.normalize(self._pooled(states, mask), dim=1).numpy()
        return vectors

    def _pooled(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self._pooling == "cls":
            return states[:, 0]
        shares = mask.unsqueeze(-1).to(states.dtype)
        return (states * shares).sum(1) / shares.sum(1)
