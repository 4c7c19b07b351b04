"""From the bytes of a picture to what the vision tower sees: exactly CLIP's preprocessing.

Shortest edge to 224, bicubic with antialiasing on uint8, then the centre. `torch.nn.functional.interpolate` on a
channels-last uint8 tensor gives the pixels of transformers' own CLIP image processor.
"""

from io import BytesIO
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

Pixels: TypeAlias = NDArray[np.uint8]

EDGE: Final = 224
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)


def see(data: bytes) -> Pixels:
    """Decode an encoded picture to the (224, 224, 3) uint8 pixels a tower is shown."""
    with Image.open(BytesIO(data)) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB")))
    height, width, _ = pixels.shape
    short = min(height, width)
    size = (EDGE * height // short, EDGE * width // short)
    scaled = interpolate(pixels.permute(2, 0, 1)[None], size, mode="bicubic", antialias=True)[0]
    top, left = (size[0] - EDGE) // 2, (size[1] - EDGE) // 2
    return scaled[:, top : top + EDGE, left : left + EDGE].permute(1, 2, 0).contiguous().numpy()


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Turn (n, 224, 224, 3) uint8 pixels into the (n, 3, 224, 224) float32 input of the vision tower."""
    scale, shift = 1 / (255 * torch.tensor(STD)), torch.tensor(MEAN) / torch.tensor(STD)
    planes = pixels.permute(0, 3, 1, 2).contiguous().float()  # a convolution is slow on any other layout
    return planes.mul_(scale.view(3, 1, 1)).sub_(shift.view(3, 1, 1))
