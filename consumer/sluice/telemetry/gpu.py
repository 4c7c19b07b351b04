"""How the GPUs do, by NVIDIA's management library, read at each collection; nothing where there is none."""

import importlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sluice.core.metrics import MetricName
from sluice.telemetry.metrics import Ask, Reading

_logger = logging.getLogger(__name__)
_MILLIWATT = 1e-3

Handle = Any
Library = Any  # pynvml, which has no types


def _pynvml() -> Library:
    return importlib.import_module("pynvml")


def readings(library: Callable[[], Library] = _pynvml) -> Mapping[MetricName, Ask]:
    """Return the readings of every GPU this process sees, none without a GPU, its driver or the extra `gpu`."""
    try:
        nvml = library()
    except ImportError:
        _logger.debug("no GPU is watched: nvidia-ml-py is not installed (the extra `gpu`)")
        return {}
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        by_id = {str(nvml.nvmlDeviceGetUUID(handle)): handle for handle in handles}
    except nvml.NVMLError as error:
        _logger.debug("no GPU is watched: %s", error)
        return {}
    looks: dict[MetricName, Callable[[Handle], float]] = {
        "hw.gpu.utilization": lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
        "hw.gpu.memory.usage": lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
        "hw.gpu.memory.limit": lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
        "hw.gpu.temperature": lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "hw.gpu.power": lambda gpu: nvml.nvmlDeviceGetPowerUsage(gpu) * _MILLIWATT,
    }
    return {name: partial(_read, look, by_id, nvml.NVMLError) for name, look in looks.items()}


def _read(look: Callable[[Handle], float], by_id: Mapping[str, Handle], refusal: type[Exception]) -> list[Reading]:
    """Look at every GPU; one that does not tell, as a slice of one tells no utilization, is left out."""
    found: list[Reading] = []
    for hw_id, handle in by_id.items():
        try:
            found.append((float(look(handle)), {"hw.id": hw_id}))
        except refusal as error:
            _logger.debug("GPU %s: %s", hw_id, error)
    return found
