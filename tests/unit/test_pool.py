"""Decoder processes may die in any way; the pool answers all the same."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sluice.core.errors import DependencyDown, NoDecoders, Unreadable
from sluice.core.metrics import MetricName
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.media.workers import protocol
from sluice.media.workers.fork_client import ForkServerClient
from sluice.media.workers.pool import DecoderPool
from sluice.moderation.values import Thumbnail
from sluice.services.moderator import self_test_file
from sluice.settings import MIB, Media
from tests.support.images import encode, scene

PNG = b"\x89PNG\r\n\x1a\n:"
PATIENCE_S = 60
STALL_S = 0.5


class Deaths(list[str]):
    """Collects the reason of each death reported."""

    def __call__(self, name: MetricName, value: float, labels: Mapping[str, str]) -> None:
        assert (name, value) == ("sluice.decoder.deaths", 1)
        self.append(labels["reason"])


@pytest.fixture(scope="module")
def deaths() -> Deaths:
    return Deaths()


@pytest.fixture(scope="module")
def pool(deaths: Deaths) -> Iterator[DecoderPool]:
    """Make a pool that gives a decoder all the time a crowded machine may take."""
    media = Media(decoders=1, decode_timeout_s=PATIENCE_S, decoder_memory_bytes=256 * MIB)
    with DecoderPool(media, observe=deaths, decode="tests.support.decoders:told") as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(deaths: Deaths) -> None:
    deaths.clear()


@pytest.fixture
def stalling(pool: DecoderPool) -> Iterator[None]:
    pool._wall_s, usual = STALL_S, pool._wall_s
    yield
    pool._wall_s = usual


def ask(pool: DecoderPool, order: str) -> int:
    """Give an order and read the number that comes back."""
    return pool.submit(PNG + order.encode()).result(PATIENCE_S).width - 1


def refused(pool: DecoderPool, order: str) -> str:
    with pytest.raises(Unreadable) as refusal:
        ask(pool, order)
    return refusal.value.reason


@pytest.mark.parametrize("order", ["crash", "bug", "too_many_tiles", "unknown_reason", "garbage"])
def test_a_decoder_that_dies_or_lies_twice_makes_the_image_unreadable(
    pool: DecoderPool, deaths: Deaths, order: str
) -> None:
    assert refused(pool, order) == "decoder_crash"
    assert deaths == ["decoder_crash"] * 2
    assert ask(pool, "fine") == 1


def test_an_image_that_uses_up_its_processor_time_is_refused_at_the_first_try() -> None:
    deaths = Deaths()
    media = Media(decoders=1, decode_timeout_s=0.1)
    with DecoderPool(media, observe=deaths, decode="tests.support.decoders:told") as pool:
        assert refused(pool, "spin") == "decode_timeout"
        assert deaths == ["decode_timeout"]
        assert ask(pool, "fine") == 1


@pytest.mark.usefixtures("stalling")
def test_time_on_the_clock_says_nothing_of_an_image(pool: DecoderPool, deaths: Deaths) -> None:
    """A decoder that was given no processor looks like one that hangs: the image waits, for ever if nothing moves."""
    for _ in range(2):
        with pytest.raises(DependencyDown, match="too few processors"):
            ask(pool, "hang")
    assert deaths == ["decode_stalled"] * 4


@pytest.mark.usefixtures("stalling")
def test_an_image_that_hangs_while_others_are_decoded_does_not_hold_them_for_ever(
    pool: DecoderPool, deaths: Deaths
) -> None:
    with pytest.raises(DependencyDown):
        ask(pool, "hang for good")
    pool._wall_s = PATIENCE_S
    assert ask(pool, "fine") == 1
    pool._wall_s = STALL_S
    assert refused(pool, "hang for good") == "decode_stalled"
    assert deaths == ["decode_stalled"] * 4
    with pytest.raises(DependencyDown):
        ask(pool, "hang for good")


def test_a_decoder_that_takes_too_much_memory_says_so_and_is_replaced(pool: DecoderPool, deaths: Deaths) -> None:
    before = ask(pool, "pid")
    assert refused(pool, "memory") == "decoder_memory"
    assert deaths == []
    assert ask(pool, "pid") != before


def test_a_reason_comes_home_with_its_message(pool: DecoderPool) -> None:
    with pytest.raises(Unreadable, match="of old age") as refusal:
        ask(pool, "known_reason")
    assert refusal.value.reason == "corrupt"


def test_a_decoder_is_used_again(pool: DecoderPool) -> None:
    assert ask(pool, "pid") == ask(pool, "pid")


def test_one_killed_while_idle_costs_its_next_image_nothing(pool: DecoderPool, deaths: Deaths) -> None:
    victim = ask(pool, "pid")
    os.kill(victim, signal.SIGKILL)
    gone(victim)
    assert ask(pool, "pid") != victim
    assert deaths == []


def test_a_decoder_has_three_standard_files_one_socket_and_room_for_one_more(pool: DecoderPool) -> None:
    assert ask(pool, "files") == 41


def test_a_decoder_sees_no_environment_of_ours(pool: DecoderPool) -> None:
    assert ask(pool, "environment") == 0


def test_a_decoder_was_forked_without_threads(pool: DecoderPool) -> None:
    assert ask(pool, "threads") == 1


def test_a_decoder_cannot_write_files_nor_dump_core(pool: DecoderPool) -> None:
    assert ask(pool, "write") == 0
    assert ask(pool, "core") == 0


def test_the_pool_survives_the_death_of_its_template(pool: DecoderPool) -> None:
    before = ask(pool, "pid")
    os.kill(pool._fork_client._process.pid, signal.SIGKILL)
    gone(before)
    assert ask(pool, "pid") != before


def test_a_machine_without_room_for_a_process_is_not_the_images_fault(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    os.kill(pool._fork_client._process.pid, signal.SIGKILL)
    gone(pool._fork_client._process.pid)
    with monkeypatch.context() as crowded:
        crowded.setattr(subprocess, "Popen", full)
        with pytest.raises(DependencyDown):
            ask(pool, "fine")
    assert ask(pool, "fine") == 1


TIGHT = Media(
    decoders=1,
    decode_timeout_s=PATIENCE_S,
    max_image_bytes=1,
    max_frame_pixels=1,
    max_total_pixels=1,
    max_frames=1,
    max_tiles=1,
    tile_above_aspect=9,
    formats=("JPEG",),
)


def test_warm_up_and_known_pictures_stand_outside_every_limit() -> None:
    """What ships asks for PNG, two tiles and hundreds of pixels; the settings allow none of that."""
    birds, _ = self_test_file.read(self_test_file.SHIPPED)
    deaths = Deaths()
    with DecoderPool(TIGHT, observe=deaths) as pool:
        seen = [pool.known(bird.data).result(PATIENCE_S) for bird in birds]
        with pytest.raises(Unreadable):
            pool.submit(encode(scene(9, 9), "JPEG")).result(PATIENCE_S)
    assert [one.tiles.shape for one in seen] == [picture(bird.data, Limits()).tiles.shape for bird in birds]
    assert deaths == []


def test_a_template_that_cannot_start_says_why_in_one_line(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        DecoderPool(Media(decoders=1), observe=Deaths(), decode="tests.support.decoders:missing") as pool,
        pytest.raises(DependencyDown, match=r"do not start \(AttributeError: .*missing"),
    ):
        ask(pool, "fine")
    assert capfd.readouterr().err == ""
    assert len(caplog.messages) == 1


class Barren(ForkServerClient):
    """Starts nothing, and counts how often it was to."""

    starts = 0

    def _start(self) -> None:
        self.starts += 1
        raise OSError("no room")


def test_a_nursery_that_fails_rests_longer_each_time_and_gives_up_in_the_end() -> None:
    now = [0.0]
    barren = Barren({}, lambda: now[0])
    failures = []

    def ask_for_ever() -> None:
        while now[0] < 120:
            before = barren.starts
            with suppress(DependencyDown):
                barren.decoder()
            if barren.starts > before:
                failures.append(now[0])
            now[0] += 0.5

    with pytest.raises(NoDecoders, match="no room"):
        ask_for_ever()
    assert barren.starts < 20
    rests = [after - before for before, after in pairwise(failures)]
    assert rests == sorted(rests)
    assert rests[-1] >= 30


def test_no_process_is_left_after_close() -> None:
    media = Media(decoders=1, decode_timeout_s=PATIENCE_S)
    with DecoderPool(media, observe=Deaths(), decode="tests.support.decoders:told") as made:
        decoder, template = ask(made, "pid"), made._fork_client._process.pid
    gone(decoder)
    gone(template)


def test_real_pictures_come_back_as_this_process_makes_them() -> None:
    images = [encode(scene(300, 200 + 50 * i, i), fmt) for i, fmt in enumerate(("PNG", "JPEG", "WEBP"))]
    wanted = (Thumbnail("fit", 64), Thumbnail("sample", 320), Thumbnail("stretch", 256))
    with DecoderPool(Media(decoders=2, decode_timeout_s=PATIENCE_S), observe=Deaths(), thumbnails=wanted) as made:
        futures = [made.submit(data) for data in images]
        wait(futures, PATIENCE_S)
        for data, future in zip(images, futures, strict=True):
            here, there = picture(data, Limits(thumbnails=wanted)), future.result(0)
            assert np.array_equal(there.tiles, here.tiles)
            assert tuple(there.thumbnails) == wanted
            assert all(np.array_equal(there.thumbnails[each], here.thumbnails[each]) for each in wanted)
            assert (there.sha256, there.mime, there.technical) == (here.sha256, here.mime, here.technical)
            assert (there.width, there.height, there.frames, there.coverage) == (
                here.width,
                here.height,
                here.frames,
                here.coverage,
            )


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b"no", "not_an_image"), (b"GIF89a", "format_not_allowed")]
)
def test_what_is_no_image_by_its_first_bytes_never_reaches_a_decoder(
    pool: DecoderPool, data: bytes, reason: str
) -> None:
    with pytest.raises(Unreadable) as refusal:
        pool.submit(data).result(PATIENCE_S)
    assert refusal.value.reason == reason


def gone(pid: int) -> None:
    """Wait until a process has ended (a zombie has)."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
    pytest.fail(f"process {pid} is still there")


ORPHAN = """
import sys, threading
from sluice.media.workers.pool import DecoderPool
from sluice.settings import Media
pool = DecoderPool(Media(decoders=1, decode_timeout_s=60),
    observe=lambda *_: None, decode="tests.support.decoders:told")
print(pool._fork_client._process.pid, pool.submit(bytes.fromhex(sys.argv[1])).result(60).width - 1, flush=True)
threading.Event().wait()
"""


def test_nobody_is_left_when_the_consumer_is_killed() -> None:
    arguments = [sys.executable, "-c", ORPHAN, (PNG + b"pid").hex()]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as consumer:
        assert consumer.stdout is not None
        template, decoder = map(int, consumer.stdout.readline().split())
        consumer.kill()
    gone(template)
    gone(decoder)


def test_a_template_whose_parent_leaves_without_a_word_ends_in_silence() -> None:
    """Closing a socket with something unread resets the connection, which is the same as closing it."""
    spec = {"limits": asdict(Limits.of(Media())), "decode": "tests.support.decoders:told", "warm": False}
    ours, theirs = socket.socketpair()
    with theirs:
        arguments = [sys.executable, "-m", "sluice.media.workers.fork_server", str(theirs.fileno())]
        template = subprocess.Popen(
            [*arguments, json.dumps(spec | {"memory_bytes": 256 * MIB, "cpu_s": 1.0})],
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
    ours.settimeout(PATIENCE_S)
    assert ours.recv(1, socket.MSG_PEEK) == protocol.READY
    ours.close()
    _, said = template.communicate(timeout=PATIENCE_S)
    assert (template.returncode, said) == (0, b"")
