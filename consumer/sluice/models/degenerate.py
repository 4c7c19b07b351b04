"""Weights that are finite and mean nothing: zero, constant, or of an impossible size.

Such a checkpoint loads, and everything computed from it is finite; but every cosine is 0, or the same for every
picture, and that allows all of them. Downloads into a preallocated file that were cut off leave such weights behind,
and so does a model that was built and never loaded (diffusers fills a checker's concepts and thresholds with ones).

The bounds leave room for what real checkpoints hold. Biases may be zero (a key's has no gradient), norms' weights may
be ones; neurons, patch filters and heads of attention die, and weight decay takes their rows to exactly zero in
float16; tokens that no caption holds decay likewise. Projections, concepts and heads above the towers have no such
rows: every output of theirs is compared.
"""

import torch
from torch import Tensor

PROJECTIONS = frozenset({"visual_projection.weight", "text_projection.weight", "concept_embeds", "special_care_embeds"})
THRESHOLDS = frozenset({"concept_embeds_weights", "special_care_embeds_weights"})

LEAST, MOST = 1e-5, 1e4
"""The largest number of a tensor lies between them; in trained towers it lies between 0.01 and 100."""

SHORTEST, LONGEST = 1e-4, 1e4
"""Lengths of a row of a projection, a concept or a head; of trained ones between 0.1 and 100."""

CONSTANT = 1e-3
"""A row of which so little is left without its mean holds one number throughout."""

PARALLEL = 1e-6
"""Rows whose cosine is so near to 1 or -1 say the same."""

HOLE = 16_384
"""So many equal numbers side by side were never written: 32 KiB at least, where downloads write 64 KiB and more. It is
16 rows of a tower as wide as ViT-L/14, where neurons die one by one. In a smaller matrix, a quarter of it."""

DYING = {
    "patch_embedding.weight": 64,
    "token_embedding.weight": 256,
    "q_proj.weight": 192,
    "k_proj.weight": 192,
    "v_proj.weight": 192,
}
"""Rows that must be equal for that where rows die in groups: a filter of ViT-B/32 has 3,072 numbers, and several that
are dead may stand side by side; so do the 33 tokens of control bytes, which no caption holds, and the 64 rows of a
head."""

REMEDY = (
    "what a download that was cut off has not written is zero: bring the file again, and run `sluice models verify`"
)


def complaint(name: str, tensor: Tensor) -> str:
    """Say why a tensor of finite numbers, by its canonical name, cannot be a trained one; empty when it can be."""
    if name in THRESHOLDS:
        return _thresholds(tensor)
    if name in PROJECTIONS:
        return rows(tensor) or _parallel(tensor)
    if tensor.dim() == 0 or name.endswith("bias"):
        return larger(float(tensor.abs().amax()))
    dying = next((count for end, count in DYING.items() if name.endswith(end)), 0)
    if dying:
        return _size(tensor) or _matrix(tensor, dying * tensor[0].numel())
    return _size(tensor) or _sparse(tensor) or (_matrix(tensor, HOLE) if tensor.dim() > 1 else "")


def rows(tensor: Tensor) -> str:
    """Say why a matrix (N, H), each row of which is compared with something, cannot be a trained one."""
    wide = tensor.to(torch.float64)
    lengths = torch.linalg.vector_norm(wide, dim=1)
    for row, length in enumerate(lengths.tolist()):
        if length == 0:
            return f"is zero in row {row}"
        if not SHORTEST <= length <= LONGEST:
            return f"has a row of length {length:.3g} (row {row}); {SHORTEST:g} to {LONGEST:g} is sane"
    varied = torch.linalg.vector_norm(wide - wide.mean(dim=1, keepdim=True), dim=1)
    constant = (varied <= CONSTANT * lengths) & (wide.shape[1] > 1)
    if constant.any():
        row = int(constant.nonzero()[0])
        return f"holds one number throughout row {row}, as weights do that were never trained"
    return ""


def _parallel(tensor: Tensor) -> str:
    units = torch.nn.functional.normalize(tensor.to(torch.float64))
    alike = (units @ units.t()).abs().triu(diagonal=1) > 1 - PARALLEL
    if not alike.any():
        return ""
    one, other = alike.nonzero()[0].tolist()
    return f"says the same in rows {one} and {other}"


def _thresholds(tensor: Tensor) -> str:
    for place, value in enumerate(tensor.tolist()):
        if not -1 < value < 1 or value == 0:
            return f"holds {value:g} at {place}: no cosine to compare with; above -1, below 1 and not 0 is sane"
    return ""


def larger(largest: float) -> str:
    """Say that a number is larger than any trained one; empty when it is not."""
    return "" if largest <= MOST else f"holds numbers as large as {largest:.3g}; {MOST:g} is sane"


def _size(tensor: Tensor) -> str:
    """Look at how large the numbers of a tensor of weights are that must not vanish."""
    low, high = (float(bound) for bound in tensor.aminmax())
    largest = max(-low, high)
    if largest == 0:
        return "holds nothing but zeros"
    if largest < LEAST:
        return f"holds no number larger than {largest:.3g}; {LEAST:g} is sane"
    return larger(largest)


def _sparse(tensor: Tensor) -> str:
    return "is zero for half of it or more" if int(tensor.count_nonzero()) * 2 <= tensor.numel() else ""


def _matrix(tensor: Tensor, hole: int) -> str:
    """Look at how the numbers of a matrix differ: all of them, all rows, and those side by side."""
    flat = tensor.reshape(-1)
    hole = max(2, min(hole, len(flat) // 4))
    blocks = flat[: len(flat) // hole * hole].view(-1, hole)
    low, high = blocks.aminmax(dim=1)
    if bool((low == high).any()):
        first = int((low == high).nonzero()[0]) * hole
        return f"holds one number throughout, from number {first} on, as if it had not been written"
    if len(tensor) > 1 and bool((tensor == tensor[:1]).all()):
        return "says the same in every row"
    return ""
