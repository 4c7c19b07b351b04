"""`sluice keys`: the keys that sign verdicts."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.frame import emit, named_path, say
from sluice.core.errors import BadSettings

app = typer.Typer(no_args_is_help=True, help="Keys that sign verdicts: make one.")


@app.callback()
def _keys() -> None:
    """Keep `new` a command of its own: of a single command typer would make the whole."""


@app.command()
def new(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="What display services will know it by.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", parser=named_path, help="Where the private key goes; must not exist yet.")
    ],
) -> None:
    """Make an Ed25519 key: the private half to a file only its owner reads, the key ring's entry to stdout."""
    from sluice_schemas.signing import Signer, new_key

    pem = new_key()
    try:
        out.touch(mode=0o600, exist_ok=False)
        out.write_bytes(pem)
    except OSError as error:
        raise BadSettings(f"--out {out}: cannot be written: {error.strerror}") from None
    emit([Signer.of(key_id, pem).trusted().as_json()])
    say(f"private key: {out} (SLUICE_SIGNING__KEY_FILE, with SLUICE_SIGNING__KEY_ID={key_id})")
