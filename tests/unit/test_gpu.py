"""GPUs by NVIDIA's library, as it answers; a machine without one has no series and no complaint."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.telemetry import gpu, process


class NvmlError(Exception):
    """The library's own."""


def utilization(gpu: int) -> SimpleNamespace:
    if gpu == 1:
        raise NvmlError("Not Supported")
    return SimpleNamespace(gpu=75)


def nvml() -> SimpleNamespace:
    """Return the few calls there are, of two GPUs; the second is a slice of one, which tells no utilization."""
    return SimpleNamespace(
        NVMLError=NvmlError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda gpu: f"GPU-{gpu}",
        nvmlDeviceGetUtilizationRates=utilization,
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=1000 + gpu, total=4000),
        nvmlDeviceGetTemperature=lambda gpu, sensor: 60 + gpu + sensor,
        nvmlDeviceGetPowerUsage=lambda _: 350_500,
    )


def found(library: Callable[[], Any]) -> dict[str, list[tuple[float, str]]]:
    return {name: [(value, labels["hw.id"]) for value, labels in ask()] for name, ask in gpu.readings(library).items()}


def test_every_gpu_tells_what_it_can_in_the_units_of_opentelemetry() -> None:
    assert found(nvml) == {
        "hw.gpu.utilization": [(0.75, "GPU-0")],
        "hw.gpu.memory.usage": [(1000, "GPU-0"), (1001, "GPU-1")],
        "hw.gpu.memory.limit": [(4000, "GPU-0"), (4000, "GPU-1")],
        "hw.gpu.temperature": [(60, "GPU-0"), (61, "GPU-1")],
        "hw.gpu.power": [(350.5, "GPU-0"), (350.5, "GPU-1")],
    }


def test_without_the_library_there_is_nothing_to_tell() -> None:
    def missing() -> None:
        raise ImportError

    assert found(missing) == {}


def test_without_a_driver_there_is_nothing_to_tell() -> None:
    def refuse() -> None:
        raise NvmlError("Driver Not Loaded")

    assert found(lambda: SimpleNamespace(NVMLError=NvmlError, nvmlInit=refuse)) == {}


def test_the_real_library_has_the_calls_that_are_made() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: pip install 'sluice[gpu]'")
    assert [name for name in vars(nvml()) if not hasattr(pynvml, name)] == []
    gpu.readings()


def test_a_process_tells_what_it_costs() -> None:
    told = {name: [value for value, _ in ask()] for name, ask in process.readings().items()}
    assert told["process.cpu.time"][0] > 0
    assert told["process.start_time"][0] > 1.7e9
    assert all(20e6 < value < 500e9 for value in told["process.memory.usage"])
