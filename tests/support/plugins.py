"""Plug-in models for processes of their own: found by their entry point, as one that somebody installed would be."""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from textwrap import indent

from PIL import Image as Pillow

MARK = (255, 0, 254)
_NAME = "marked"

_MODULE = """
import os, signal, threading, time
from sluice.moderation.values import Thumbnail
from sluice_schemas import ModelRef

class Marked:
    ref = ModelRef("marked", "marked", "", "0" * 64, "float32")
    thumbnail = Thumbnail("fit", 32)

    def score(self, thumbnails):
        for thumbnail in thumbnails:
            if {when}:
{deed}
        return [() for _ in thumbnails]
"""


def marked_picture() -> bytes:
    """Return a picture that the plug-in knows by its colour."""
    out = BytesIO()
    Pillow.new("RGB", (48, 48), MARK).save(out, "PNG")
    return out.getvalue()


def installed(folder: Path, deed: str, *, at_every_picture: bool = False) -> Mapping[str, str]:
    """Install a plug-in that does `deed` when it sees a marked picture; return the variables of who shall use it."""
    when = "True" if at_every_picture else f"(thumbnail == {MARK}).all()"
    distribution = folder / f"{_NAME}-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(f"[sluice.models]\n{_NAME} = {_NAME}:Marked\n")
    (folder / f"{_NAME}.py").write_text(_MODULE.format(when=when, deed=indent(deed, " " * 16)))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "SLUICE_MODELS__PLUGINS": _NAME}
