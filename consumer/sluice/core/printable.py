"""Text from outside as it may be shown to people: nothing in it steers a terminal, hides, or turns the line around.

File names, image ids, keys, model names and the words of other programs may hold anything: escape sequences, line
breaks, marks that reverse the direction of text, bytes that are no text at all.
"""

import json
import re
from typing import Any

# Everything below space and DEL to APC in Latin 1; the rest is asked of Unicode, one character at a time.
_SUSPECT = re.compile(r"[^ -~]")


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with every character but the printable ones, the space and those of `keep` as a visible escape.

    What Python calls printable leaves out control and format characters, surrogates, unassigned code points and all
    spaces but the plain one: none of them can be told from nothing, or from a space, by looking.
    """

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep or character.isprintable() else _escaped(character)

    return _SUSPECT.sub(shown, text)


def json_text(data: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return data as JSON in which the same characters are escaped, the way JSON escapes; it reads back the same."""

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        return character if character == "\n" or character.isprintable() else json.dumps(character)[1:-1]

    return _SUSPECT.sub(shown, json.dumps(data, indent=indent, default=str, ensure_ascii=ascii_only))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 -- how Python keeps a byte of a name that is no text
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
