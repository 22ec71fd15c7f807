"""Pointsman's lines in the file that Serve writes: once each, as JSON, with their own fields."""

import errno
import io
import json
import logging
from logging.handlers import MemoryHandler

import pytest
from ray._common.formatters import JSONFormatter

from serve import lines


def test_a_line_is_written_once_as_json_with_its_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SERVES", "serve-of-this-test")
    monkeypatch.setattr(lines, "OURS", "ours-of-this-test")
    file = io.StringIO()
    target = logging.StreamHandler(file)
    target.setFormatter(JSONFormatter())
    serves = logging.getLogger(lines.SERVES)
    serves.propagate = False
    serves.addHandler(MemoryHandler(1, target=target))  # as in a replica
    lines.join()
    lines.join()
    told = logging.getLogger(f"{lines.OURS}.decision")
    told.info("decision %s", json.dumps({"lane": "here"}), extra={"decision_id": "dec_1"})
    (line,) = [json.loads(text) for text in file.getvalue().splitlines()]
    assert (line["decision_id"], line["levelname"]) == ("dec_1", "INFO")
    assert json.loads(line["message"].partition(" ")[2]) == {"lane": "here"}


def test_a_line_that_cannot_be_written_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk; stderr goes into the very same log, as in a replica."""
    monkeypatch.setattr(lines, "SERVES", "serve-on-a-full-disk")
    monkeypatch.setattr(lines, "OURS", "ours-on-a-full-disk")
    monkeypatch.setattr(logging, "raiseExceptions", True)
    serves = logging.getLogger(lines.SERVES)
    serves.propagate = False
    serves.addHandler(MemoryHandler(1, target=logging.StreamHandler(Full())))
    monkeypatch.setattr("sys.stderr", IntoTheLog(serves))
    lines.join()
    logging.getLogger(lines.OURS).info("a decision")


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class IntoTheLog(io.StringIO):
    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log

    def write(self, text: str) -> int:
        self._log.warning(text)
        return len(text)
