"""What is private stays where it belongs: a thousand events, settings and files full of canaries, and all that leaves.

The real commands run at their most talkative. `BELONGS` says of each canary exactly where it must be found, and
everywhere else it must not: in no other log, span, metric, file, event, page or line.
"""

from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.kafka import cluster_checks
from tests.support.brokers import EMBEDDED
from tests.support.canaries import Canary, holds
from tests.support.evidence import EVENTS, KEY, Evidence, Place, gather, settings
from tests.support.ports import free_port

pytestmark = [*EMBEDDED, pytest.mark.timeout(900)]  # what all tests here look at is made once

RECORD = {Place.LETTER_VALUE, Place.DLQ_JSON}
"""A record that could not be judged is kept as it came; only its dead letter has it."""
BESIDE = {Place.LETTER_HEADERS, Place.DLQ, Place.DLQ_JSON}
"""And so are its headers."""
BELONGS: Mapping[Canary, set[Place]] = {
    Canary.PROMPT: RECORD | {Place.PAGE},  # the page shows the prompt that was given on the command line
    Canary.NEGATIVE_PROMPT: RECORD,
    Canary.ATTRIBUTE: RECORD,
    Canary.USERINFO: RECORD,
    Canary.PATH: RECORD | {Place.STORE},
    Canary.QUERY: RECORD | {Place.STORE},
    Canary.FRAGMENT: RECORD,
    Canary.S3_KEY: RECORD | {Place.STORE},
    Canary.METADATA: RECORD,
    Canary.GARBAGE: RECORD,
    Canary.KEY: {Place.LETTER_KEY, Place.DLQ, Place.DLQ_JSON},
    Canary.HEADER: BESIDE,
    Canary.HEADER_NAME: BESIDE,
    Canary.BAGGAGE: BESIDE,
    Canary.TRACESTATE: BESIDE | {Place.HEADERS},  # made to be passed on
    Canary.STORE_REPLY: {Place.STORE},  # which is asked for what it redirects to
    Canary.FOLDER: set(),
    Canary.SETTING: set(),
    Canary.S3_CREDENTIAL: set(),
    Canary.OTLP_HEADER: {Place.COLLECTOR},
    Canary.OTLP_QUERY: {Place.COLLECTOR},
    Canary.ENVIRONMENT: set(),
}


SEED = load_pem_private_key(KEY, password=None).private_bytes_raw()  # type: ignore[union-attr]  # an Ed25519 key


@pytest.fixture(scope="module")
def evidence(embedded_address: str, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return gather(embedded_address, tmp_path_factory.mktemp("privacy"))


def test_every_canary_has_its_places() -> None:
    assert set(BELONGS) == set(Canary)


@pytest.mark.parametrize("canary", Canary)
def test_a_canary_is_found_exactly_where_it_belongs(evidence: Evidence, canary: Canary) -> None:
    assert evidence.where(canary) == BELONGS[canary]


def test_the_signing_key_is_found_nowhere_though_its_name_is_on_every_verdict(evidence: Evidence) -> None:
    body = b"".join(KEY.splitlines()[1:-1])
    assert (evidence.where(SEED), evidence.where(body)) == (set(), set())
    assert Place.HEADERS in evidence.where("planted")


def test_each_process_ended_as_it_should_and_each_event_was_answered(evidence: Evidence) -> None:
    assert evidence.endings == {
        "run": 73,
        "dlq list": 0,
        "dlq show": 0,
        "moderate": 4,
        "settings": 0,
        "wrong settings": 78,
        "wrong key": 78,
    }
    assert len(evidence.said[Place.QUALITY]) > EVENTS * 0.4 * 2  # a key and a value each
    assert len(evidence.said[Place.QUALITY] + evidence.said[Place.LETTER_KEY]) >= EVENTS * 2


def test_the_ways_to_fail_were_many(evidence: Evidence) -> None:
    assert len(evidence.reasons) > 20, evidence.reasons


def test_spans_metrics_and_the_log_said_what_they_are_for(evidence: Evidence) -> None:
    spans = evidence.collector.spans()
    kinds = Counter(span.name.split()[0] for span in spans)
    assert set(kinds) == {"poll", "process", "commit", "send", "fetch", "decode", "wait", "model", "policy"}
    assert kinds["send"] > EVENTS / 2, "images without a trace of their own"
    assert sum(len(span.links) for span in spans) > EVENTS / 2
    assert any(span.status.code for span in spans), "no batch failed"
    assert {"sluice.verdicts", "sluice.dead_letters", "sluice.dependency.down"} <= evidence.collector.metric_names()
    log = b"\n".join(evidence.said[Place.LOG])
    assert b"/v1/metrics?..." in log, "no export failed"
    assert b"is not available" in log, "no dependency was down"
    assert b"Traceback" in log, "nothing was raised"


def test_doctor_tells_that_nobody_answers_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = f"127.0.0.1:{free_port()}"
    given = {
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS": closed,
        "SLUICE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SLUICE_KAFKA__SASL_MECHANISM": "PLAIN",
        "SLUICE_KAFKA__SASL_USERNAME": "planter",
        "SLUICE_REGISTRY__URL": f"http://{closed}",
        "SLUICE_REGISTRY__USERNAME": "planter",
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster_checks, "TIMEOUT_S", 1.0)
    result = CliRunner().invoke(app, ["doctor"], obj=Invocation(), env=given | settings(tmp_path))
    said = (result.output + "".join(capfd.readouterr())).encode()
    assert said.count(b"fail") >= 3
    assert b"127.0.0.1" in said
    assert [canary for canary in Canary if holds(said, canary)] == []


@pytest.mark.parametrize(
    "written",
    [
        "plain {}".format,
        lambda word: word.upper(),
        lambda word: word.encode().hex(),
        lambda word: b64encode(f"ab{word}cd".encode()).decode(),
        lambda word: urlsafe_b64encode(f"abc{word}d".encode()).decode(),
        lambda word: b64encode(f"a{word}".encode()).decode(),
        lambda word: "".join(f"%{byte:02X}" for byte in word.encode()),
        lambda word: "".join(f"\\x{byte:02x}" for byte in word.encode()),
        lambda word: word.encode("utf-16").decode("latin-1"),
    ],
)
def test_a_canary_is_noticed_however_it_is_written(written: Callable[[str], str]) -> None:
    for canary in Canary:
        said = f'{{"event": "{written(canary)}"}}'.encode("latin-1")
        assert [one for one in Canary if holds(said, one)] == [canary]
