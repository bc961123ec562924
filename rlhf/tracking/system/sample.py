"""One look at the machine, as numbers under the names that MLflow's own have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "system.jsonl"  # in the run's directory
MEGA = 1e6


class Machine:
    """Asked again and again; a share of processors is that since the last time."""

    def __init__(self, directory: Path) -> None:
        import psutil

        self._psutil, self._disk = psutil, str(directory)
        self._process = psutil.Process()
        self._gpus = gpus()
        self._network = psutil.net_io_counters()
        psutil.cpu_percent()  # the first answer is about nothing
        self._process.cpu_percent()

    def look(self) -> dict[str, float]:
        """Numbers by name. What the system does not say is left out."""
        ps, values = self._psutil, dict[str, float]()
        memory, disk = ps.virtual_memory(), ps.disk_usage(self._disk)
        values["cpu_utilization_percentage"] = ps.cpu_percent()
        values["system_memory_usage_megabytes"] = memory.used / MEGA
        values["system_memory_usage_percentage"] = memory.percent
        values["process_cpu_utilization_percentage"] = self._process.cpu_percent()
        values["process_memory_usage_megabytes"] = self._process.memory_info().rss / MEGA
        values["disk_usage_percentage"] = disk.percent
        values["disk_available_megabytes"] = disk.free / MEGA
        network = ps.net_io_counters()
        if network is not None and self._network is not None:
            received = network.bytes_recv - self._network.bytes_recv
            sent = network.bytes_sent - self._network.bytes_sent
            values["network_receive_megabytes"] = received / MEGA
            values["network_transmit_megabytes"] = sent / MEGA
        for index, handle in enumerate(self._gpus):
            values |= {f"gpu_{index}_{name}": value for name, value in look_at(handle)}
        return {name: round(value, 3) for name, value in values.items()}


def gpus() -> list[Any]:
    """NVML's handles of the GPUs that the process may use; none where there is no driver or
    nvidia-ml-py is not installed. Opens no CUDA context."""
    try:
        import pynvml
    except ImportError:
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        pynvml.nvmlInit()
        if given is None:
            names = [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
        else:
            names = [part.strip() for part in given.split(",") if part.strip()]
        return [_handle(pynvml, name) for name in names]
    except pynvml.NVMLError:
        return []


def _handle(pynvml: Any, name: str) -> Any:
    """Of a GPU's number, or of its own name (`GPU-...`)."""
    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def look_at(handle: Any) -> Iterator[tuple[str, float]]:
    """What the GPU's driver says; a part of a GPU (MIG) says less."""
    import pynvml

    with suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        yield "memory_usage_megabytes", memory.used / MEGA
        yield "memory_usage_percentage", 100 * memory.used / memory.total
    with suppress(pynvml.NVMLError):
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
        yield "utilization_percentage", float(rates.gpu)
    with suppress(pynvml.NVMLError):
        power = pynvml.nvmlDeviceGetPowerUsage(handle)
        yield "power_usage_watts", power / 1000
        limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)
        yield "power_usage_percentage", 100 * power / limit
