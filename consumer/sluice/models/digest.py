"""What a file of weights is held to."""

import hashlib
from pathlib import Path

from sluice.core.errors import WeightsNotAttested


def sha256_of(path: Path) -> str:
    """Hash a file's bytes: lower-case hex SHA-256. Raises WeightsNotAttested when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsNotAttested(f"{path}: cannot be read ({type(error).__name__})") from error
