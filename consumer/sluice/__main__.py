"""The edge of the process: commands in, one clear line and a documented exit code out."""

import os
import sys
import traceback
from io import TextIOWrapper

from sluice.cli import app
from sluice.cli.frame import Invocation, print_error


def main() -> None:
    """Run the command line; any error becomes its line and its exit code, the traceback only with --debug."""
    _attach_streams()
    invocation = Invocation()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a stream cannot hold is no reason to end
    try:
        app(obj=invocation)
    except Exception as error:  # noqa: BLE001 -- the last edge: what arrives here has nowhere else to go
        if invocation.debug:
            traceback.print_exception(error)
        sys.exit(print_error(error))


def _attach_streams() -> None:
    """Give a process that was started without standard streams some: the next file opened would pass for one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
