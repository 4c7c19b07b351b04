"""The test images of Pillow's own source distribution: thousands of bugs of other people's decoders in one folder."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import PIL

from tests.hostile.specimen import Fate, Specimen


def pillow_images() -> Iterator[Specimen]:
    """Fetch the sources of the installed version from the package index and yield each test image."""
    with TemporaryDirectory(prefix="hostile-pillow-") as folder, tarfile.open(_downloaded(Path(folder))) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if member.isfile() and path.parts[1:3] == ("Tests", "images"):
                file = archive.extractfile(member)
                assert file is not None
                yield Specimen(f"pillow/{'/'.join(path.parts[3:])}", file.read(), Fate.ANSWERED, costly=True)


def _downloaded(folder: Path) -> Path:
    """Let pip find and check the archive; it asks the build backend for the name, and builds nothing."""
    (folder / "sources").mkdir()
    asked = f"pillow=={PIL.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "pillow"]
    subprocess.run(
        [*command, "--quiet", "--disable-pip-version-check", "--dest", str(folder / "sources"), asked],
        check=True,
        timeout=600,
    )
    (archive,) = (folder / "sources").glob("*.tar.gz")
    return archive
