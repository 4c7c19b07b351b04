"""NudeNet as a second opinion: which exposed parts its detector sees, and how surely.

An independent model (YOLOv8n by ONNX runtime, weights in its own wheel) with the extra `nudenet`. A label's score is
the surest detection of it in the picture; a label that was not detected is 0. NudeNet itself drops detections under
0.25, and of two boxes that overlap by 0.45, whatever their labels, it keeps the surer one.

Its scores are those of `NudeDetector.detect` on the file, within 0.0001. They differ where Sluice decodes otherwise
than OpenCV: a colour profile is applied, transparency is laid on white.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sluice.core.errors import Unscorable
from sluice.models import onnx
from sluice.moderation.values import Pixels, Score, Thumbnail
from sluice_schemas import ModelRef

NAME = "nudenet"

LABELS = (
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
"""What is reported; its other labels (faces, feet, covered parts) say nothing about whether to show an image."""


class NudeNet:
    """The detector. Raises ImportError when the extra is not installed."""

    def __init__(self) -> None:
        # These imports take a second and 100 MB; only who asks for the plug-in pays for that.
        import cv2  # noqa: PLC0415
        import nudenet  # type: ignore[import-untyped]  # noqa: PLC0415

        weights = Path(nudenet.__file__).with_name("320n.onnx")
        self._errors: tuple[type[Exception], ...] = (cv2.error, *onnx.exceptions())
        self._detector: Any = nudenet.NudeDetector()
        self._detector.onnx_session = onnx.session(weights)
        self._ref = ModelRef(NAME, "nudenet-320n", version(NAME), onnx.digest(weights), "float32")

    @property
    def ref(self) -> ModelRef:
        """The wheel's version and the SHA-256 of its ONNX file."""
        return self._ref

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it may report."""
        return tuple(label.lower() for label in LABELS)

    @property
    def thumbnail(self) -> Thumbnail:
        """What the detector makes of a file itself: 320 px by OpenCV's bilinear, which it was trained on.

        A picture made small smoothly is another one to it: on a photograph a score of 0.295 became 0.
        """
        return Thumbnail("sample", 320)

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Detect in each picture, one by one: a batch would make a score depend on its neighbours."""
        return [self._score(thumbnail) for thumbnail in thumbnails]

    def _score(self, thumbnail: Pixels) -> tuple[Score, ...]:
        # It wants BGR, as OpenCV reads files.
        picture = np.ascontiguousarray(thumbnail[:, :, ::-1])
        surest = dict.fromkeys(LABELS, 0.0)
        try:
            found = self._detector.detect(picture)
        except self._errors as error:
            raise Unscorable("model_error", f"{NAME}: {type(error).__name__}") from error
        for detection in found:
            label = str(detection["class"])
            if label in surest:
                surest[label] = max(surest[label], float(detection["score"]))
        return tuple(Score(NAME, label, value) for label, value in zip(self.labels, surest.values(), strict=True))
