"""The edge of the process: commands in, one clear line and a documented exit code out."""

import sys
import traceback

from sluice.cli import app
from sluice.cli.frame import Invocation, tell


def main() -> None:
    """Run the command line; any error becomes its line and its exit code, the traceback only with --debug."""
    invocation = Invocation()
    try:
        app(obj=invocation)
    except Exception as error:  # noqa: BLE001 -- the last edge: what arrives here has nowhere else to go
        if invocation.debug:
            traceback.print_exception(error)
        sys.exit(tell(error))


if __name__ == "__main__":
    main()
