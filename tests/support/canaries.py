"""Words that nothing but a test ever says: planted in what is private, looked for in whatever leaves."""

from base64 import b64encode
from collections.abc import Iterable
from enum import StrEnum
from functools import cache


class Canary(StrEnum):
    """What was planted, by where. Letters and digits alone, so that no quoting or escaping changes them."""

    PROMPT = "canaryofprompt1"
    NEGATIVE_PROMPT = "canaryofnegative2"
    ATTRIBUTE = "canaryofattribute3"
    USERINFO = "canaryofuserinfo4"
    PATH = "canaryofpath5"
    QUERY = "canaryofquery6"
    FRAGMENT = "canaryoffragment7"
    S3_KEY = "canaryofs3key8"
    METADATA = "canaryofmetadata9"
    KEY = "canaryofkey10"
    HEADER = "canaryofheader11"
    HEADER_NAME = "canaryofheadername12"
    BAGGAGE = "canaryofbaggage13"
    TRACESTATE = "canaryoftracestate14"
    GARBAGE = "canaryofgarbage15"
    STORE_REPLY = "canaryofreply16"
    FOLDER = "canaryoffolder17"
    SETTING = "canaryofsetting18"
    S3_CREDENTIAL = "canaryofs3secret19"
    OTLP_HEADER = "canaryofotlpheader20"
    OTLP_QUERY = "canaryofotlpquery21"
    ENVIRONMENT = "canaryofenvironment22"


@cache
def forms(word: str | bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the ways a word may be written: those to look for in lower case, and those whose case counts."""
    raw = word.encode() if isinstance(word, str) else word
    folded = (
        raw.lower(),
        raw.hex().encode(),
        b"".join(b"%%%02x" % byte for byte in raw),
        b"".join(b"\\x%02x" % byte for byte in raw),
        raw.decode("latin-1").lower().encode("utf-16-le"),
    )
    return folded, tuple(_base64(raw, ahead) for ahead in range(3))


def holds(haystack: bytes, word: str | bytes) -> bool:
    """Tell whether the word stands there, in any of its forms."""
    folded, exact = forms(word)
    lower = haystack.lower()
    return any(form in lower for form in folded) or any(
        form in haystack.replace(b"-", b"+").replace(b"_", b"/") for form in exact
    )


def held_by(haystacks: Iterable[bytes], word: str | bytes) -> bool:
    """Tell whether the word stands in any of them."""
    return any(holds(haystack, word) for haystack in haystacks)


def _base64(raw: bytes, ahead: int) -> bytes:
    """Return what of the word's base64 does not depend on its neighbours, when so many bytes stand before it."""
    first = -(-ahead * 8 // 6)
    return b64encode(bytes(ahead) + raw + bytes(3))[first : (ahead + len(raw)) * 8 // 6]
