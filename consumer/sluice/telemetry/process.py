"""What this process costs, read at each collection."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from sluice.core.metrics import MetricName
from sluice.telemetry.metrics import Ask, Reading

_STATM = Path("/proc/self/statm")


def readings() -> Mapping[MetricName, Ask]:
    """Return the readings there are here; resident memory is Linux's alone. The process counts as started now."""
    started_s = time.time()
    return {
        "process.cpu.time": lambda: [(time.process_time(), {})],
        "process.memory.usage": _resident,
        "process.start_time": lambda: [(started_s, {})],
    }


def _resident() -> list[Reading]:
    if not _STATM.exists():
        return []
    pages = int(_STATM.read_text().split()[1])
    return [(pages * os.sysconf("SC_PAGE_SIZE"), {})]
