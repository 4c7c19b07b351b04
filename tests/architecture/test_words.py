"""Words that a reader whose English is a second language has to read twice do not stand in code, settings and pages."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("consumer", "schemas/sluice_schemas", "producer_sim")
WORDS = re.compile(r"\b(whoever|nobody|somebody|everybody)\b", re.IGNORECASE)
"""Who does it has a name: a producer, a reader, the caller, the process, no member."""

MADE = {"asyncapi.yaml"}  # from the released schemas, which do not change
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "docs/*.yaml",
        "schemas/*.md",
        "producer_sim/*.md",
        "helm/**/*.md",
        "helm/sluice/**/*.yaml",
    )
    for path in ROOT.glob(pattern)
    if path.name not in {"CHANGELOG.md", *MADE}
)
SOURCES = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield comments and texts of a source file with their lines."""
    with io.BytesIO(path.read_bytes()) as source:
        for token in tokenize.tokenize(source.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], token.string


def test_the_words_are_found() -> None:
    assert WORDS.search("Whoever asks")
    assert not WORDS.search("nobodys")
    assert len(PAGES) > 40
    assert len(SOURCES) > 200


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_has_none(path: Path) -> None:
    assert [(line, text) for line, text in prose(path) if WORDS.search(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_have_none(path: Path) -> None:
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    assert [(line, text) for line, text in lines if WORDS.search(text)] == []
