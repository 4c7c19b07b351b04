"""What must be right before a consumer can run: one row per thing looked at, and what to do where it is not.

Sees the adapters like `app`; nothing here changes anything, neither on this machine nor at the brokers.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sluice import policies
from sluice.core.errors import BadSettings, BrokerLost, Denied, DependencyDown, SluiceError, WeightsNotAttested
from sluice.core.extras import require
from sluice.kafka import acls, broker_limits, cluster_checks, preflight, topics
from sluice.kafka.client import ASSIGNOR
from sluice.kafka.codec import framing_of
from sluice.models import plugin
from sluice.moderation.policy import Policy
from sluice.settings import Kafka, Models, SelfTest, Settings, surroundings
from sluice.settings.sources import variable_of
from sluice.telemetry import http

if TYPE_CHECKING:
    from sluice.models import load


State = Literal["ok", "warn", "fail"]

LOW_BYTES, EMPTY_BYTES = 1024**3, 100 * 1024**2
"""Below the first a disk is worth a word, below the second logs and decoders fail."""

NAMED = 3
"""So many members of a group are named."""

SKEW_S = 5.0
"""Producers' clocks are rarely this far ahead; event ages and latencies would be wrong by as much."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    fix: str = ""


def examine(settings: Settings, now_s: float) -> Iterator[Row]:
    """Yield what was found, cheapest first; `now_s` is the time of this machine, seconds since the epoch."""
    yield from _guarded("policy", "sluice policy check FILE", lambda: _policy(settings))
    yield from _references(settings)
    yield from _guarded("surroundings", "see the line", lambda: _around(settings))
    yield from _disk(settings)
    yield _probes(settings)
    yield from _guarded("models", "sluice models verify", lambda: _models(settings))
    yield from _guarded("registry", "check registry.url and its credentials", lambda: _registry(settings))
    yield from _guarded("broker", "start it, or set SLUICE_KAFKA__BOOTSTRAP_SERVERS", lambda: _kafka(settings, now_s))


def _guarded(what: str, fix: str, look: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Turn an error of ours into a failing row."""
    try:
        yield from look()
    except (BadSettings, BrokerLost, Denied, DependencyDown, WeightsNotAttested) as error:
        own = error.remedy or _variables(error)
        yield Row(what, "fail", " / ".join(str(error).splitlines()), own or fix)


def _variables(error: SluiceError) -> str:
    return ", ".join(map(variable_of, error.settings))


def _policy(settings: Settings) -> Iterator[Row]:
    policy = policies.chosen(settings.policy)
    yield Row("policy", "ok", f"{policy.ref.id} version {policy.ref.version} ({policy.ref.digest[:12]})")
    models = policies.with_plugins(settings).models
    found: list[plugin.Model] = []
    for name in models.plugins:
        yield from _guarded(f"plug-in {name}", "sluice config docs", partial(_plugin, name, found))
    if len(found) == len(models.plugins):  # else some opinions are missing because their model is
        yield from _guarded("opinions", _switched(policy, found), partial(_opinions, policy, models, found))


def _plugin(name: str, found: list[plugin.Model]) -> Iterator[Row]:
    found.append(plugin.find(name))
    ref = found[-1].ref
    yield Row(f"plug-in {name}", "ok", f"{ref.id} {ref.revision}")


def _switched(policy: Policy, found: list[plugin.Model]) -> str:
    silent = sorted(set(policy.opinion_models) - {model.ref.role for model in found})
    return f"SLUICE_MODELS__PLUGINS={','.join(silent)}" if silent else "name one of these labels in the policy"


def _opinions(policy: Policy, models: Models, found: list[plugin.Model]) -> Iterator[Row]:
    policies.refuse_missing_opinions(policy, plugin.opinions(models, found))
    if policy.opinion_labels:
        yield Row("opinions", "ok", ", ".join(f"{model}/{label}" for model, label in sorted(policy.opinion_labels)))


def _references(settings: Settings) -> Iterator[Row]:
    fetch = settings.fetch
    if fetch.allowed_hosts or fetch.s3_buckets or fetch.file_roots:
        yield Row("references", "ok", ", ".join((*fetch.allowed_hosts, *fetch.s3_buckets, *map(str, fetch.file_roots))))
    else:
        fix = "SLUICE_FETCH__ALLOWED_HOSTS or SLUICE_FETCH__S3_BUCKETS"
        yield Row("references", "warn", "none is allowed: only inline images are judged", fix)


def _around(settings: Settings) -> Iterator[Row]:
    surroundings.check(settings)
    yield Row("surroundings", "ok", "temporary files and the files of telemetry can be written")


def _disk(settings: Settings) -> Iterator[Row]:
    telemetry = settings.telemetry
    files = [telemetry.heartbeat_file, telemetry.ready_file]
    with suppress(FileNotFoundError):  # none can be written, which has been said
        files.append(Path(tempfile.gettempdir()) / "any")
    folders = dict.fromkeys(file.parent for file in files if file)
    for folder in folders:
        if not folder.is_dir():
            yield Row(f"disk {folder}", "fail", "no such folder", f"mkdir -p {folder}")
            continue
        free = shutil.disk_usage(folder).free
        state: State = "fail" if free < EMPTY_BYTES else "warn" if free < LOW_BYTES else "ok"
        yield Row(f"disk {folder}", state, f"{free / 1024**3:.1f} GiB free", "" if state == "ok" else "make room")


def _probes(settings: Settings) -> Row:
    host, port = settings.telemetry.http_host, settings.telemetry.http_port
    if port is None:
        return Row("probes", "ok", "not over HTTP; SLUICE_TELEMETRY__HTTP_PORT=9464 answers them, and /metrics")
    try:
        with http.serving(host, port, {}):
            return Row("probes", "ok", f"{host}:{port} is free for /livez, /readyz, /startupz and /metrics")
    except BadSettings as error:
        return Row("probes", "warn", str(error), "unless the consumer runs here already: SLUICE_TELEMETRY__HTTP_PORT")


def _models(settings: Settings) -> Iterator[Row]:
    require("moderator")
    from sluice.models import files

    known = files.locate(settings.models.bundle)
    from sluice.models import load
    from sluice.models.device import describe

    placed = load.place(settings.models)
    found = placed.attestation
    towers = "one tower" if found.identical else "two towers"
    digest = f"{placed.bundle.name} {placed.bundle.revision} ({found.tower_digest[:12]}), {towers}"
    if settings.models.bundle == "starter":
        yield Row("weights", "warn", digest, "starter is for the demo; SLUICE_MODELS__BUNDLE=openai judges real images")
    elif not known.pinned:
        yield Row("weights", "warn", f"{digest}, unpinned: altered files go unnoticed", "sluice models pin FOLDER")
    else:
        yield Row("weights", "ok", digest)
    device = describe(placed.device, placed.dtype)
    if placed.device.type == "cuda" or settings.models.bundle == "starter":
        yield Row("device", "ok", device)
    else:
        yield Row("device", "warn", f"{device}: about one image a second", "run where a GPU is")
    yield from _guarded(
        "self-test", "sluice models self-test --write FILE", lambda: _self_test(settings.self_test, placed)
    )


def _self_test(self_test: SelfTest, placed: "load.Placed") -> Iterator[Row]:
    if not self_test.enabled:
        yield Row("self-test", "warn", "none are asked: wrong verdicts go unnoticed", "SLUICE_SELF_TEST__ENABLED=true")
        return
    from sluice.models import load
    from sluice.models.scorer import Extras
    from sluice.services.moderator import self_test_file

    known = self_test_file.chosen(self_test.file, load.references(placed, Extras()))
    if all(each.answer for each in known):
        yield Row("self-test", "ok", f"{len(known)}, with known answers, every {self_test.every_s:g} s")
    else:
        found = f"{len(known)}, held to their own first answers: what is wrong from the start goes unnoticed"
        yield Row("self-test", "warn", found, "sluice models self-test --write FILE, and SLUICE_SELF_TEST__FILE")


def _registry(settings: Settings) -> Iterator[Row]:
    if settings.registry.url:
        framing_of(settings.registry.model_copy(update={"auto_register": False}), settings.topics)
        yield Row("registry", "ok", "knows every schema we write")


def _kafka(settings: Settings, now_s: float) -> Iterator[Row]:
    kafka, names = settings.kafka, settings.topics
    admin = preflight.connect(kafka, cluster_checks.TIMEOUT_S, time.monotonic)
    found = cluster_checks.cluster(admin)
    yield Row("broker", "ok", f"{found.brokers} answer, cluster {found.id or 'without a name'}")
    ours = {names.images, names.verdicts, names.quality, names.dead_letters}
    specs = [spec for spec in topics.specs(names, settings.media) if spec.name in ours]
    yield from map(_topic, topics.check(admin, specs))
    yield _group(kafka, cluster_checks.group(admin, kafka.group_id))
    yield from _limits(kafka, broker_limits.limits(admin, cluster_checks.TIMEOUT_S))
    yield from _permissions(kafka, cluster_checks.lacking(admin, kafka, names))
    yield _clock(cluster_checks.newest_timestamp_ms(admin, [names.images, names.verdicts]), now_s)


def _topic(finding: topics.Finding) -> Row:
    if finding.problem:
        return Row(finding.what, "fail", finding.problem, finding.fix)
    return Row(finding.what, "ok", finding.unseen or "as the settings want it", finding.fix)


def _group(kafka: Kafka, found: cluster_checks.Group | None) -> Row:
    what = f"group {kafka.group_id}"
    if found is None:
        return Row(what, "warn", "the brokers do not tell who is in it", "sluice topics acls")
    if not found.members:
        return Row(what, "ok", "it has no member")
    many = f"{len(found.members)} in it ({', '.join(found.members[:NAMED])}{', ...' * (len(found.members) > NAMED)})"
    seen = f"{many}, protocol {found.protocol}, assignor {found.assignor or 'not chosen yet'}"
    if found.protocol == kafka.group_protocol == "classic" and found.assignor not in ("", ASSIGNOR):
        fix = "SLUICE_KAFKA__GROUP_ID, a name that no other group uses, or stop them"
        return Row(what, "fail", f"{seen}: sluice shares by {ASSIGNOR}, and is not let in", fix)
    if found.protocol != kafka.group_protocol:
        fix = "SLUICE_KAFKA__GROUP_PROTOCOL, SLUICE_KAFKA__GROUP_ID"
        return Row(what, "warn", f"{seen}: only some brokers let another protocol in", fix)
    return Row(what, "ok", seen)


def _limits(kafka: Kafka, allowed: broker_limits.Limits) -> Iterator[Row]:
    if not allowed:
        found = f"the brokers do not tell how long a transaction may take ({broker_limits.TRANSACTION_MAX})"
        yield Row("limits", "warn", found, "grant DescribeConfigs on the cluster, or watch the first sluice run")
        return
    refused = list(broker_limits.beyond(kafka, allowed))
    for each in refused:
        yield Row("limits", "fail", str(each), _variables(each))
    if not refused:
        told = ", ".join(f"{name} {value}" for name, value in allowed.items())
        yield Row("limits", "ok", f"the settings keep to what the brokers allow: {told}")


def _permissions(kafka: Kafka, denied: list[acls.Acl] | None) -> Iterator[Row]:
    if denied is None:
        yield Row(
            "permissions", "warn", "the brokers do not tell", "watch the first sluice run: it names what is denied"
        )
    elif not denied:
        found = "read the images and the group, write verdicts, quality, dead letters and transactions"
        yield Row("permissions", "ok", found)
    for acl in denied or ():
        fix = " ".join(["kafka-acls.sh", *acls.granting(acl, f"User:{kafka.sasl_username or '...'}")])
        yield Row("permissions", "fail", f"{acl} is denied", fix)


def _clock(newest_ms: int | None, now_s: float) -> Row:
    if newest_ms is None:
        return Row("clock", "ok", "no record to compare with yet")
    ahead_s = newest_ms / 1000 - now_s
    if ahead_s > SKEW_S:
        return Row(
            "clock", "warn", f"the newest record is {ahead_s:.0f} s in the future", "chronyc tracking, on both ends"
        )
    return Row("clock", "ok", f"the newest record is {max(0.0, -ahead_s):.0f} s old")
