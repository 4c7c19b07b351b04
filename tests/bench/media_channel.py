"""`python -m tests.bench.media_channel SOCKET SLOT`: the far end of two channels; and what an image costs on each.

One is the product's: bytes and pixels through a socket. The other is a prototype of shared memory: both go through a
slot that two processes map, and the socket carries headers only. Either way the near end keeps tiles of its own, since
a slot is needed again, and the far end makes bytes, since Pillow takes nothing else. The far end decodes nothing.
"""

import json
import mmap
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from time import monotonic, process_time

import numpy as np
import psutil

from sluice.media.decoding.limits import Limits
from sluice.media.decoding.tiles import EDGE
from sluice.media.workers import protocol
from sluice.moderation.values import Picture
from sluice_schemas import Technical
from tests.bench.tables import Cell, Table

CALLS = 100
PATIENCE_S = 60.0
LIMITS = Limits()
SLOT_BYTES = LIMITS.max_image_bytes
SIZE = struct.Struct("<Q")
TILES = (1, EDGE, EDGE, 3)
TILES_BYTES = EDGE * EDGE * 3
PICTURE = Picture(
    sha256="",
    mime="image/png",
    width=512,
    height=512,
    frames=1,
    tiles=np.ones(TILES, np.uint8),
    coverage=1.0,
    technical=Technical(blur=1.0, noise_sigma=1.0, clipped_dark=0.0, clipped_light=0.0, flat=1.0),
)


Send = Callable[[bytes], Picture]


def measured(files: Mapping[str, Sequence[bytes]], road_ms: Mapping[str, float], rounds: int) -> Table:
    """Measure both channels in turn; the gain is a share of the image's whole road through the pool."""
    return Table("socket or shared memory, us an image of both processes", list(_rows(files, road_ms, rounds)))


def _rows(files: Mapping[str, Sequence[bytes]], road_ms: Mapping[str, float], rounds: int) -> Iterator[dict[str, Cell]]:
    if not hasattr(os, "memfd_create"):
        yield {"pictures": "shared memory by memfd_create is Linux's"}
        return
    with _far_end() as (process, by_socket, by_slot):
        for name, few in files.items():
            ways = {"socket": by_socket, "slot": by_slot}
            us = dict.fromkeys(ways, 0.0)
            for _ in range(rounds):
                for way, send in ways.items():
                    before_s = _busy_s(process)
                    for number in range(CALLS):
                        send(few[number % len(few)])
                    us[way] += (_busy_s(process) - before_s) / CALLS / rounds * 1e6
            saved_ms = (us["socket"] - us["slot"]) / 1000
            yield {"pictures": name} | us | {"gain, % of the road": 100 * saved_ms / road_ms[name]}


def _busy_s(far: psutil.Popen) -> float:
    """Return the processor time of both ends; the kernel counts the far one's in hundredths, so rounds are summed."""
    times = far.cpu_times()
    return process_time() + float(times.user + times.system)


@contextmanager
def _far_end() -> Iterator[tuple[psutil.Popen, Send, Send]]:
    """Start the far end; yield it, and what sends an image there and back by socket and by slot."""
    near, far = socket.socketpair()
    slot_fd = os.memfd_create("slot")
    os.ftruncate(slot_fd, SLOT_BYTES)
    command = [sys.executable, "-m", "tests.bench.media_channel", str(far.fileno()), str(slot_fd)]
    with near, mmap.mmap(slot_fd, SLOT_BYTES) as slot:
        process = psutil.Popen(command, pass_fds=(far.fileno(), slot_fd))
        far.close()
        try:
            near.settimeout(PATIENCE_S)
            assert near.recv(1) == protocol.READY
            yield process, lambda data: _through_socket(near, data), lambda data: _through_slot(near, slot, data)
        finally:
            near.shutdown(socket.SHUT_RDWR)
            process.wait(PATIENCE_S)
            os.close(slot_fd)


def _through_socket(near: socket.socket, data: bytes) -> Picture:
    """Do what the product does."""
    near.sendall(b"S")
    deadline_s = monotonic() + PATIENCE_S
    protocol.send_request(near, data, ours=False, deadline_s=deadline_s)
    return protocol.receive_picture(near, LIMITS, sha256="", deadline_s=deadline_s)


def _through_slot(near: socket.socket, slot: mmap.mmap, data: bytes) -> Picture:
    """Put an image into the slot; of the reply the tiles lie there too, the rest comes by the socket."""
    slot[: len(data)] = data
    near.sendall(b"M" + SIZE.pack(len(data)))
    (size,) = SIZE.unpack(near.recv(SIZE.size, socket.MSG_WAITALL))
    meta = json.loads(near.recv(size, socket.MSG_WAITALL))
    tiles = np.frombuffer(slot, np.uint8, TILES_BYTES).reshape(TILES).copy()
    return protocol._picture(meta, sha256="", tiles=tiles)


def _serve(far: socket.socket, slot: mmap.mmap) -> None:
    far.sendall(protocol.READY)
    while channel := far.recv(1):
        if channel == b"S":
            assert protocol.receive_request(far, LIMITS)
            protocol.send_picture(far, PICTURE)
        else:
            (size,) = SIZE.unpack(far.recv(SIZE.size, socket.MSG_WAITALL))
            assert slot[:size]
            slot[:TILES_BYTES] = PICTURE.tiles.tobytes()
            body = json.dumps(_description(PICTURE)).encode()
            far.sendall(SIZE.pack(len(body)) + body)


def _description(picture: Picture) -> dict[str, object]:
    """Say what the product says of a picture."""
    size = [picture.width, picture.height, picture.frames]
    measures = asdict(picture.technical)
    return {"mime": picture.mime, "size": size, "coverage": picture.coverage, "technical": measures}


def main() -> None:
    """Serve until the near end closes."""
    with socket.socket(fileno=int(sys.argv[1])) as far, mmap.mmap(int(sys.argv[2]), SLOT_BYTES) as slot:
        _serve(far, slot)


if __name__ == "__main__":
    main()
