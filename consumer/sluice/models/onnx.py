"""What the plug-ins that run on the ONNX runtime share: a session that keeps to itself, and what it raises.

Its import takes a second and 100 MB, so only who asks for such a plug-in pays for it.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sluice.core.errors import Unscorable


def session(weights: Path) -> Any:
    """Open weights on the processor with as many threads as torch has; none spins while it waits, none is called home.

    The runtime's own choice is a thread a core that spins between runs, which takes cores from the decoders.
    """
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return Finite(onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"]))


class Finite:
    """A session that gives nothing but finite numbers: to NudeNet a NaN is a part that it does not see."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs

    def run(self, names: Any, inputs: Any) -> Any:
        """Run it. Raises Unscorable when a number is not finite."""
        outputs = self._runs.run(names, inputs)
        if not all(np.isfinite(output).all() for output in outputs):
            raise Unscorable("non_finite", "a plug-in's model gave a number that is not finite")
        return outputs


def exceptions() -> tuple[type[Exception], ...]:
    """Return what the runtime and numpy raise when they cannot cope with a picture; the runtime's share no base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as onnx  # type: ignore[import-untyped]  # noqa: PLC0415

    found = (getattr(onnx, name) for name in dir(onnx))
    own = tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, ArithmeticError, LookupError, OSError, TypeError, ValueError)


def digest(weights: Path) -> str:
    """Return the SHA-256 of the weights."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()
