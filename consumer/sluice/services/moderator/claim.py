"""A verdict from a file: the claim that is checked."""

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice.core.errors import Undecodable
from sluice_schemas import Verdict, WireError, decode, latest
from sluice_schemas.wire import SINGLE_OBJECT

_VERDICT: TypeAdapter[Verdict] = TypeAdapter(Verdict)


def verdicts_in(data: bytes) -> tuple[Verdict, ...]:
    """Return the verdicts in a file: a message value, or what `tail verdicts --json` and `moderate --json` print.

    Raises Undecodable.
    """
    if data.startswith(SINGLE_OBJECT):
        try:
            return (decode(data, Verdict),)
        except WireError as error:
            raise Undecodable(error.reason, error.message) from None
    try:
        found = tuple(_VERDICT.validate_json(json.dumps(document)) for document in _objects(data.decode()))
    except ValidationError as error:
        raise Undecodable("malformed", f"not a verdict: {_first(error)}") from None
    except (ValueError, RecursionError):
        raise Undecodable("malformed", "neither a verdict in single-object encoding nor JSON") from None
    if not found:
        raise Undecodable("empty", "no verdict")
    return found


def claimed(verdicts: Sequence[Verdict], image_sha256: str) -> Verdict:
    """Return the one verdict, or of several the one that stands for these bytes. Raises Undecodable."""
    if len(verdicts) == 1:
        return verdicts[0]
    own = [verdict for verdict in verdicts if verdict.image_sha256 == image_sha256]
    if len({verdict.image_id for verdict in own}) != 1:
        raise Undecodable("ambiguous", f"{len(verdicts)} verdicts, {len(own)} of them on these bytes; leave one")
    return reduce(latest, own)


def _objects(text: str) -> Iterator[Any]:
    """Yield the verdicts as JSON has them: of one document, or one a line."""
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    for document in documents:
        for found in document if isinstance(document, list) else [document]:
            yield found.get("verdict", found) if isinstance(found, dict) else found


def _first(error: ValidationError) -> str:
    """Return the first complaint without the value it is about."""
    found = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
