"""What is committed is written for a reader who knows nothing of the machine it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, committed_files, shown

WORKPLACES = [str(ROOT)] if len(ROOT.parts) > 2 else []
FORBIDDEN = {
    "the address of a package index": r"pythonhosted\.org|https?://[^\s\"'<>]*/simple\b|(?<!emit-)\bindex-url[ =]\S",
    "a path of one machine": "|".join(
        [r"(?<![\w.])/(?:home|Users)/(?!runner\b)\w+/", *map(re.escape, WORKPLACES)]
    ),
    "who or what wrote it": r"(?i)\bAI[- ](?:session|assistant|generated|helper)|\bsub-?agent\b"
    r"|\bas a language model\b|(?-i:\bClaude\b|\bChatGPT\b)|generated (?:by|with) AI\b|\bshared/design\b",
}
# Recorded from real systems or shipped as data: not our words.
DATA = {".png", ".ico", ".ttf", ".woff2", ".gz"}


def wrong_in(text: str) -> Iterator[str]:
    for what, pattern in FORBIDDEN.items():
        for found in re.finditer(pattern, text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{line}: {what}: {found.group()}"


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_no_committed_file_tells_of_the_place_it_was_written_at() -> None:
    files = [p for p in committed_files() if p.suffix not in DATA and p != Path(__file__)]
    assert len(files) > 100
    assert "\n".join(f"{shown(path)}:{wrong}" for path in files for wrong in wrong_in(text_of(path))) == ""


def test_the_locks_name_no_address() -> None:
    for lock in ROOT.glob("*.lock"):
        assert "://" not in text_of(lock)
        assert "--hash=sha256:" in text_of(lock)


@pytest.mark.parametrize(
    "text",
    [
        "https://files.pythonhosted.org/packages/x", "url: https://index.example/api/simple/", "index-url = x",
        "pip install --extra-index-url https://x", "cd /home/jane/marketplace", "made in an AI session",
        "see shared/design",
    ],
)  # fmt: skip
def test_such_a_text_is_seen(text: str) -> None:
    assert list(wrong_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "uv pip compile --no-emit-index-url",
        "a simple AI-free text",
        "/home/runner/work",
        "https://pypi.org/project/x",
    ],
)
def test_a_harmless_text_is_not(text: str) -> None:
    assert not list(wrong_in(text))
