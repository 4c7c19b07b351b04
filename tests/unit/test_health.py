"""What the probes are told, in words, in files and over HTTP."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

import pytest

from sluice.core.errors import BadSettings, DeviceLost, SelfTestFailed, TooManyDeadLetters
from sluice.telemetry.health import Check, Health, HeartbeatFile
from sluice.telemetry.http import Reply, probe, serving


class Seen(list[tuple[str, float | Sequence[float]]]):
    """Keeps what was observed."""

    def __call__(self, name: str, value: float | Sequence[float], _labels: Mapping[str, str]) -> None:
        self.append((name, value))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observed() -> Seen:
    return Seen()


@pytest.fixture
def health(clock: Clock, observed: Seen, tmp_path: Path) -> Health:
    return Health(clock, observed, longest_turn_s=90, ready_file=tmp_path / "ready")


def holds(checks: Mapping[str, Check]) -> dict[str, bool]:
    return {name: check.ok for name, check in checks.items()}


def test_before_the_models_are_there_the_process_lives_but_has_not_started(health: Health) -> None:
    assert holds(health.live()) == {"loop": True, "inference": True}
    assert holds(health.started()) == {"models": False}
    assert holds(health.ready()) == {"models": False, "self_test": True, "fuse": True, "group": False, "judging": False}
    health.loaded("starter", str)
    assert health.started() == {"models": Check(ok=True, found="starter")}


def test_a_loop_that_turned_must_turn_again_within_the_longest_turn(health: Health, clock: Clock) -> None:
    health.turned()
    clock.now = 90.0
    assert holds(health.live())["loop"]
    clock.now = 90.1
    assert health.live()["loop"] == Check(ok=False, found="turned 90.1 s ago, at most 90")
    health.turned()
    assert holds(health.live())["loop"]


def test_a_lost_device_says_so_at_the_liveness_probe(health: Health) -> None:
    health.loaded("starter", lambda: "the inference worker died")
    assert health.live()["inference"] == Check(ok=False, found="the inference worker died")


def test_ready_is_a_file_a_gauge_and_an_answer_from_the_first_turn_to_the_drain(
    health: Health, observed: Seen, tmp_path: Path
) -> None:
    health.loaded("starter", str)
    health.grouped("")
    with health.judging():
        assert all(holds(health.ready()).values())
        assert (tmp_path / "ready").exists()
        health.unready("draining")
        assert health.ready()["judging"] == Check(ok=False, found="draining")
        assert not (tmp_path / "ready").exists()
    assert observed == [("sluice.ready", 0), ("sluice.ready", 1), ("sluice.ready", 0)]


def test_ready_waits_for_the_group_and_follows_it(health: Health, observed: Seen, tmp_path: Path) -> None:
    health.loaded("starter", str)
    with health.judging():
        assert not health.grouped("waits to be let into group g")
        assert health.ready()["group"] == Check(ok=False, found="waits to be let into group g")
        assert not (tmp_path / "ready").exists()
        assert health.grouped("")
        assert not health.grouped(""), "it is told once"
        assert (tmp_path / "ready").exists()
        assert not health.grouped("group g refuses us")
        assert not (tmp_path / "ready").exists()
        assert health.grouped("")
    assert [value for _, value in observed] == [0, 1, 0, 1, 0]


def test_a_consumer_that_leaves_is_not_ready(health: Health, tmp_path: Path) -> None:
    health.grouped("")
    with health.judging():
        pass
    assert not holds(health.ready())["judging"]
    assert not (tmp_path / "ready").exists()


def test_why_the_consumer_stopped_is_named(health: Health, observed: Seen) -> None:
    def lose() -> None:
        raise DeviceLost("gone")

    health.grouped("")
    with pytest.raises(DeviceLost), health.judging():
        lose()
    assert observed[1:] == [("sluice.ready", 1), ("sluice.ready", 0)]
    health.stopped(DeviceLost("gone"))
    assert health.ready()["judging"] == Check(ok=False, found="stopped: DeviceLost")
    assert holds(health.ready())["fuse"]
    assert holds(health.ready())["self_test"]
    health.stopped(TooManyDeadLetters("51 in a row"))
    assert health.ready()["fuse"] == Check(ok=False, found="51 in a row")
    health.stopped(SelfTestFailed("known picture glyph"))
    assert health.ready()["self_test"] == Check(ok=False, found="known picture glyph")


def test_canaries_that_were_not_answered_yet_are_not_ready(health: Health) -> None:
    health.answered("not answered yet", right=False)
    assert health.ready()["self_test"] == Check(ok=False, found="not answered yet")


def test_the_pulse_touches_its_files_now_and_then(tmp_path: Path, clock: Clock) -> None:
    heartbeat = tmp_path / "beat"
    pulse = HeartbeatFile(clock, heartbeat, every_s=1.0)
    pulse.beat()
    assert heartbeat.exists()
    heartbeat.unlink()
    clock.now = 0.9
    pulse.beat()
    assert not heartbeat.exists()
    clock.now = 1.0
    pulse.beat()
    assert heartbeat.exists()


def test_a_pulse_whose_folder_is_gone_stops_no_judging_and_says_so_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pulse = HeartbeatFile(clock, tmp_path / "gone" / "beat", every_s=1.0)
    for clock.now in (0.0, 1.0, 2.0):
        pulse.beat()
    assert caplog.text.count("cannot be written") == 1


def test_a_ready_file_that_cannot_be_is_a_wrong_setting(tmp_path: Path, clock: Clock) -> None:
    health = Health(clock, Seen(), longest_turn_s=1.0, ready_file=tmp_path / "gone" / "ready")
    health.grouped("")
    with pytest.raises(BadSettings, match=r"telemetry\.ready_file = "), health.judging():
        pass
    health.unready("draining")


CHECKS = {"loop": Check(ok=True, found="turns")}
BROKEN = {**CHECKS, "inference": Check(ok=False, found="died")}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    pages = {"/livez": probe(lambda: CHECKS), "/readyz": probe(lambda: BROKEN), "/bug": _fails}
    with serving("127.0.0.1", 0, pages) as port:
        yield port


def _fails() -> Reply:
    raise RuntimeError("a defect")


def asked(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("path", "status", "checks"), [("/livez", 200, CHECKS), ("/readyz?verbose", 503, BROKEN)])
def test_a_probe_answers_by_status_and_names_each_check(
    port: int, path: str, status: int, checks: Mapping[str, Check]
) -> None:
    found, kind, body = asked(port, path)
    assert (found, kind) == (status, "application/json")
    said = {name: {"ok": check.ok, "found": check.found} for name, check in checks.items()}
    assert json.loads(body) == {"ok": status == 200, "checks": said}


def test_a_head_request_gets_the_status_alone(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"HEAD /readyz HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: raw.recv(4096), b""))
    assert said.startswith(b"HTTP/1.0 503 ")
    assert said.endswith(b"\r\n\r\n")


def test_other_paths_and_methods_are_refused_and_nothing_is_logged(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert asked(port, "/secrets?token=1")[0] == 404
    assert asked(port, "/livez", "POST")[0] == 501
    assert "".join(capfd.readouterr()) == ""


def test_a_page_that_cannot_be_made_is_one_line_without_its_words(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConnectionError):
        asked(port, "/bug")
    assert [record.getMessage() for record in caplog.records] == ["a page cannot be made: RuntimeError"]


def test_an_answer_that_takes_long_keeps_nobody_else_waiting() -> None:
    asked_for, let_go = Event(), Event()

    def slow() -> Reply:
        asked_for.set()
        assert let_go.wait(60)
        return Reply("text/plain", b"at last")

    with (
        serving("127.0.0.1", 0, {"/slow": slow, "/livez": probe(lambda: CHECKS)}) as port,
        ThreadPoolExecutor(1) as one,
    ):
        waiting = one.submit(asked, port, "/slow")
        assert asked_for.wait(60)
        assert asked(port, "/livez")[0] == 200
        let_go.set()
        assert waiting.result(60)[2] == b"at last"


def test_an_address_that_is_taken_names_the_setting(port: int) -> None:
    taken = serving("127.0.0.1", port, {})
    with pytest.raises(BadSettings, match=r"telemetry\.http_port: 127\.0\.0\.1:"), taken:
        pass
