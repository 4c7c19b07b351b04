"""What must be true of pods: what they may, what they see, where they write, how they come and go."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from tests.helm.policies import Policy, Resources, consumer, containers, every, one, pod, pods, settings, volumes

WRITABLE = {"tmp", "run"}
KNOWN_VOLUMES = {"configMap", "secret", "emptyDir", "image", "persistentVolumeClaim"}


def _security(found: dict[str, Any]) -> dict[str, Any]:
    security: dict[str, Any] = found["securityContext"]
    return security


def _set(found: dict[str, Any], *path: str, to: Any) -> None:
    for part in path[:-1]:
        found = found[part]
    found[path[-1]] = to


def _unwritten(resources: Resources) -> Iterator[str]:
    """Let only the fetch write where the weights are."""
    for found in containers(resources):
        allowed = WRITABLE | ({"models"} if found["args"] == ["models", "fetch"] else set())
        for mount in found["volumeMounts"]:
            if not mount.get("readOnly") and mount["name"] not in allowed:
                yield f"{found['name']} may write {mount['mountPath']}"


def _bounded(volume: dict[str, Any]) -> bool:
    return "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""})


def _private(volume: dict[str, Any]) -> bool:
    return int(volume.get("secret", {"defaultMode": 0o440})["defaultMode"]) & 0o007 == 0


def _no_secret_variable(found: dict[str, Any]) -> bool:
    return not any("secretKeyRef" in variable.get("valueFrom", {}) for variable in found["env"])


def _pinned(found: dict[str, Any]) -> bool:
    name = found["image"].rpartition("/")[2]
    return "@sha256:" in name or (":" in name and not name.endswith(":latest"))


def _gpus(found: dict[str, Any]) -> int:
    limits = found["resources"].get("limits", {})
    return sum(int(count) for name, count in limits.items() if "/" in name)


def _one_device(resources: Resources) -> Iterator[str]:
    for found in containers(resources):
        if _gpus(found) > (1 if found is consumer(resources) else 0):
            yield f"{found['name']} takes {_gpus(found)} devices"


def _memory(found: dict[str, Any]) -> bool:
    resources = found["resources"]
    return "memory" in resources["limits"] and {"cpu", "memory"} <= set(resources["requests"])


def _drains(resources: Resources) -> Iterator[str]:
    given = settings(resources)
    least = given.get("batching", {}).get("drain_timeout_s", 20) + given["kafka"].get("transaction_timeout_s", 15)
    grace = pod(one(resources, "StatefulSet"))["terminationGracePeriodSeconds"]
    if grace <= ceil(least):
        yield f"is killed after {grace} s, drains for {least} s"


def _probed(resources: Resources) -> Iterator[str]:
    for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        if consumer(resources).get(probe, {}).get("httpGet") != {"path": path, "port": "http"}:
            yield f"{probe} does not ask {path}"


def _patient(resources: Resources) -> Iterator[str]:
    startup = consumer(resources)["startupProbe"]
    seconds = startup["periodSeconds"] * startup["failureThreshold"]
    if seconds < 300:
        yield f"models have {seconds} s to load"


def _journal(resources: Resources) -> Iterator[str]:
    folder = settings(resources).get("poison", {}).get("journal_folder")
    names = [mount["name"] for mount in consumer(resources)["volumeMounts"] if mount["mountPath"] == folder]
    spec = pod(one(resources, "StatefulSet"))
    if not any(volume["name"] in names and "emptyDir" in volume for volume in spec["volumes"]):
        yield f"{folder} does not outlive the process"


def _variable(resources: Resources, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(variable for variable in consumer(resources)["env"] if variable["name"] == name)
    return found


def _transactional_id(resources: Resources) -> Iterator[str]:
    name = _variable(resources, "SLUICE_KAFKA__TRANSACTIONAL_ID")["value"]
    group = settings(resources)["kafka"].get("group_id", "sluice")
    if name != f"{group}-$(POD_NAMESPACE)-$(POD_NAME)":
        yield f"transactional id {name}"


def _spread(spec: dict[str, Any]) -> bool:
    keys = {constraint["topologyKey"] for constraint in spec.get("topologySpreadConstraints", ())}
    return keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def _stateful(resources: Resources) -> list[dict[str, Any]]:
    return [pod(one(resources, "StatefulSet"))]


def _unchanging(resources: Resources) -> Iterator[str]:
    """Keep the chart's version out of what cannot be altered in a StatefulSet."""
    spec = one(resources, "StatefulSet")["spec"]
    fixed = str([spec["selector"], [claim["metadata"] for claim in spec.get("volumeClaimTemplates", ())]])
    if "version" in fixed or "helm.sh/chart" in fixed:
        yield fixed


POLICIES = (
    Policy(
        "nobody is root",
        every(pods, lambda p: _security(p)["runAsNonRoot"] is True and _security(p)["runAsUser"] >= 10_000),
        lambda r: _set(pods(r)[0], "securityContext", "runAsUser", to=0),
    ),
    Policy(
        "groups are not root's either",
        every(pods, lambda p: min(_security(p)["runAsGroup"], _security(p)["fsGroup"]) >= 10_000),
        lambda r: _set(pods(r)[0], "securityContext", "fsGroup", to=0),
    ),
    Policy(
        "nobody gains privileges",
        every(containers, lambda c: _security(c)["allowPrivilegeEscalation"] is False),
        lambda r: _set(containers(r)[0], "securityContext", "allowPrivilegeEscalation", to=True),
    ),
    Policy(
        "nobody is privileged",
        every(containers, lambda c: _security(c)["privileged"] is False),
        lambda r: _set(containers(r)[0], "securityContext", "privileged", to=True),
    ),
    Policy(
        "the root file system is read-only",
        every(containers, lambda c: _security(c)["readOnlyRootFilesystem"] is True),
        lambda r: _set(containers(r)[-1], "securityContext", "readOnlyRootFilesystem", to=False),
    ),
    Policy(
        "all capabilities are dropped",
        every(containers, lambda c: _security(c)["capabilities"] == {"drop": ["ALL"]}),
        lambda r: _set(containers(r)[0], "securityContext", "capabilities", "add", to=["SYS_PTRACE"]),
    ),
    Policy(
        "system calls are filtered",
        every(pods, lambda p: _security(p)["seccompProfile"] == {"type": "RuntimeDefault"}),
        lambda r: _set(pods(r)[0], "securityContext", "seccompProfile", "type", to="Unconfined"),
    ),
    Policy(
        "pods get no token of the API server",
        every(pods, lambda p: p["automountServiceAccountToken"] is False),
        lambda r: _set(pods(r)[-1], "automountServiceAccountToken", to=True),
    ),
    Policy(
        "nobody shares the node's network, processes or memory",
        every(pods, lambda p: not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(p)),
        lambda r: _set(pods(r)[0], "hostNetwork", to=True),
    ),
    Policy(
        "other services leave no variables here",
        every(pods, lambda p: p["enableServiceLinks"] is False),
        lambda r: _set(pods(r)[0], "enableServiceLinks", to=True),
    ),
    Policy(
        "volumes are none of the node's",
        every(volumes, lambda v: set(v) - {"name"} <= KNOWN_VOLUMES),
        lambda r: pods(r)[0]["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    ),
    Policy(
        "only scratch and the journal are written",
        _unwritten,
        lambda r: consumer(r)["volumeMounts"].append({"name": "config", "mountPath": "/etc/x"}),
    ),
    Policy(
        "what is written is bounded",
        every(volumes, _bounded),
        lambda r: pods(r)[0]["volumes"].append({"name": "x", "emptyDir": {}}),
    ),
    Policy(
        "secrets are readable for their owner and group only",
        every(volumes, _private),
        lambda r: pods(r)[0]["volumes"].append({"name": "x", "secret": {"secretName": "x", "defaultMode": 0o444}}),
    ),
    Policy(
        "no secret is in a variable",
        every(containers, _no_secret_variable),
        lambda r: consumer(r)["env"].append({"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "x"}}}),
    ),
    Policy(
        "images are pinned",
        every(containers, _pinned),
        lambda r: _set(containers(r)[0], "image", to="registry.example.com:5000/sluice"),
    ),
    Policy(
        "memory is limited, cores are asked for",
        every(containers, _memory),
        lambda r: _set(containers(r)[0], "resources", "limits", to={}),
    ),
    Policy(
        "one device for each consumer, none for others",
        _one_device,
        lambda r: _set(containers(r)[-1], "resources", "limits", "nvidia.com/gpu", to=2),
    ),
    Policy(
        "there is time to drain",
        _drains,
        lambda r: _set(pod(one(r, "StatefulSet")), "terminationGracePeriodSeconds", to=35),
    ),
    Policy("health is asked where it is told", _probed, lambda r: consumer(r).pop("livenessProbe")),
    Policy("models have time to load", _patient, lambda r: _set(consumer(r), "startupProbe", "failureThreshold", to=3)),
    Policy(
        "the journal outlives the process",
        _journal,
        lambda r: consumer(r)["volumeMounts"].remove({"name": "run", "mountPath": "/run/sluice"}),
    ),
    Policy(
        "no two pods have one transactional id",
        _transactional_id,
        lambda r: _set(_variable(r, "SLUICE_KAFKA__TRANSACTIONAL_ID"), "value", to="sluice"),
    ),
    Policy(
        "replicas are spread", every(_stateful, _spread), lambda r: _stateful(r)[0].pop("topologySpreadConstraints")
    ),
    Policy(
        "an upgrade alters nothing that cannot be altered",
        _unchanging,
        lambda r: _set(one(r, "StatefulSet"), "spec", "selector", "matchLabels", "app.kubernetes.io/version", to="1"),
    ),
)
