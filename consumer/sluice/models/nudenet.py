"""NudeNet as a second opinion: which exposed parts its detector sees, and how surely.

An independent model (YOLOv8n by ONNX runtime, weights in its own wheel) with the extra `nudenet`. A label's score is
the surest detection of it in the picture; a label that was not detected is 0. NudeNet itself drops detections under
0.2.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sluice.core.domain import Pixels, Score
from sluice.core.errors import Unscorable
from sluice_schemas import ModelRef

NAME = "nudenet"
EDGE_PX = 640
"""Twice the detector's 320: it scales down itself, and more pixels than that change nothing but the time."""

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
        from onnxruntime.capi import onnxruntime_pybind11_state as onnx  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: tuple[type[Exception], ...] = (
            cv2.error,
            *_exceptions(onnx),
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
        )
        self._detector: Any = nudenet.NudeDetector()
        weights = Path(nudenet.__file__).with_name("320n.onnx")
        self._ref = ModelRef(
            NAME, "nudenet-320n", version(NAME), hashlib.sha256(weights.read_bytes()).hexdigest(), "float32"
        )

    @property
    def ref(self) -> ModelRef:
        """The wheel's version and the SHA-256 of its ONNX file."""
        return self._ref

    @property
    def thumbnail_px(self) -> int:
        """Longest edge of the pictures it wants to see."""
        return EDGE_PX

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
        return tuple(Score(NAME, label.lower(), value) for label, value in surest.items())


def _exceptions(module: object) -> tuple[type[Exception], ...]:
    """Return all exceptions a binding defines; the ONNX runtime's share no base class."""
    found = (getattr(module, name) for name in dir(module))
    return tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception))
