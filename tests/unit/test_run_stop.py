"""A signal leaves at once while a consumer starts, and drains once it judges."""

import signal
import subprocess
import sys

import pytest

from sluice.cli.frame import INTERRUPTED

ASKED = """
import os, sys
from sluice.cli.run import Stop
stop = Stop()
if sys.argv[2] == "judging":
    assert not stop()
os.kill(os.getpid(), int(sys.argv[1]))
print("drains", stop())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("phase", "code", "said"), [("starting", INTERRUPTED, ""), ("judging", 0, "drains True\n")])
def test_the_first_signal(number: signal.Signals, phase: str, code: int, said: str) -> None:
    command = [sys.executable, "-c", ASKED, str(int(number)), phase]
    left = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (left.returncode, left.stdout) == (code, said)
