"""What a device is, in words."""

import torch


def describe(device: torch.device, dtype: torch.dtype) -> str:
    """Return the device's name and memory and the precision used there."""
    precision = str(dtype).removeprefix("torch.")
    if device.type != "cuda":
        return f"{device.type}, {precision}"
    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    return f"{name}, {precision}, {free / 1024**3:.0f} of {total / 1024**3:.0f} GiB free"
