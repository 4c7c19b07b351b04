"""What must be true around the pods: who may talk to them and they to whom, who finds them, who moves them."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from tests.helm.policies import Policy, Resources, consumer, labels, of, one, settings

METADATA = ip_address("169.254.169.254")
"""Where cloud providers give credentials to whoever asks."""

MADE = {
    "ConfigMap", "KafkaTopic", "KafkaUser", "NetworkPolicy", "Pod", "PodDisruptionBudget", "PodMonitor",
    "PrometheusRule", "ScaledObject", "Service", "ServiceAccount", "StatefulSet", "TriggerAuthentication",
}  # fmt: skip


def _kinds(resources: Resources) -> Iterator[str]:
    """Refuse roles, secrets and whatever is open to the outside."""
    yield from (resource["kind"] for resource in resources if resource["kind"] not in MADE)


def _no_token(resources: Resources) -> Iterator[str]:
    if one(resources, "ServiceAccount")["automountServiceAccountToken"] is not False:
        yield "the service account's token is mounted"


def _no_address(resources: Resources) -> Iterator[str]:
    for service in of(resources, "Service"):
        if service["spec"].get("clusterIP") != "None" or "type" in service["spec"]:
            yield f"Service {service['metadata']['name']} has an address"


def _walls(resources: Resources) -> list[dict[str, Any]]:
    return [policy["spec"] for policy in of(resources, "NetworkPolicy")]


def _denied(resources: Resources) -> Iterator[str]:
    for wall in _walls(resources):
        if sorted(wall["policyTypes"]) != ["Egress", "Ingress"]:
            yield "a direction is open"


def _all_within(resources: Resources) -> Iterator[str]:
    for wall in _walls(resources):
        wanted = wall["podSelector"]["matchLabels"].items()
        for resource in of(resources, "StatefulSet", "Pod"):
            if not wanted <= labels(resource).items():
                yield f"{resource['kind']} {resource['metadata']['name']} is not within"


def _rules(resources: Resources, direction: str) -> list[dict[str, Any]]:
    return [rule for wall in _walls(resources) for rule in wall.get(direction, ())]


def _peers(resources: Resources) -> Iterator[dict[str, Any]]:
    for rule in _rules(resources, "egress"):
        yield from rule.get("to", ())
    for rule in _rules(resources, "ingress"):
        yield from rule.get("from", ())


def _named(resources: Resources) -> Iterator[str]:
    """Refuse an empty list of peers or ports, which means everybody and everything."""
    for rule in _rules(resources, "egress"):
        if not rule.get("to") or not rule.get("ports"):
            yield f"egress {rule}"
    for rule in _rules(resources, "ingress"):
        if not rule.get("from") or not rule.get("ports"):
            yield f"ingress {rule}"


def _narrow(resources: Resources) -> Iterator[str]:
    for peer in _peers(resources):
        if "ipBlock" in peer and ip_network(peer["ipBlock"]["cidr"]).prefixlen < 8:
            yield f"everywhere: {peer}"
        if any(found in ({}, None) for found in peer.values()):
            yield f"everybody: {peer}"


def _no_metadata(resources: Resources) -> Iterator[str]:
    for peer in _peers(resources):
        block = peer.get("ipBlock", {"cidr": "192.0.2.0/24"})
        spared = any(METADATA in ip_network(cidr) for cidr in block.get("except", ()))
        if METADATA in ip_network(block["cidr"]) and not spared:
            yield f"the node's metadata: {peer}"


def _only_metrics(resources: Resources) -> Iterator[str]:
    for rule in _rules(resources, "ingress"):
        if [port["port"] for port in rule["ports"]] != ["http"]:
            yield f"ingress {rule['ports']}"


def _found(resources: Resources) -> Iterator[str]:
    """Let whoever selects consumers select them all and nobody else."""
    made = [labels(resource) for resource in of(resources, "StatefulSet", "Pod")]
    for resource in of(resources, "StatefulSet", "PodDisruptionBudget", "PodMonitor", "Service"):
        selector = resource["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        if [wanted <= having.items() for having in made].count(True) != 1:
            yield f"{resource['kind']} selects others"


def _evictable(resources: Resources) -> Iterator[str]:
    spec = one(resources, "PodDisruptionBudget")["spec"]
    if spec.get("maxUnavailable") in (None, 0, "0%") or spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "a node cannot be drained"


def _scaled(resources: Resources) -> Iterator[str]:
    partitions = settings(resources).get("topics", {}).get("partitions", 6)
    for scaled in of(resources, "ScaledObject"):
        spec = scaled["spec"]
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        if spec["minReplicaCount"] < 1 or spec["maxReplicaCount"] > partitions:
            yield f"{spec['minReplicaCount']} to {spec['maxReplicaCount']} replicas for {partitions} partitions"
        if down["stabilizationWindowSeconds"] < 300 or down["policies"][0]["value"] != 1:
            yield "goes too fast"
        if "fallback" not in spec or "replicas" in one(resources, "StatefulSet")["spec"]:
            yield "two decide how many"


def _least(resources: Resources) -> Iterator[str]:
    for user in of(resources, "KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            everything = acl["resource"].get("name") in (None, "", "*") or acl["resource"]["type"] == "cluster"
            if everything or {"All", "Alter", "Delete", "AlterConfigs"} & set(acl["operations"]):
                yield f"{user['metadata']['name']}: {acl}"


def _kept(resources: Resources) -> Iterator[str]:
    for topic in of(resources, "KafkaTopic"):
        if topic["metadata"]["annotations"].get("helm.sh/resource-policy") != "keep":
            yield f"{topic['spec']['topicName']} goes with the release"


def _offline(resources: Resources) -> Iterator[str]:
    if {"name": "HF_HUB_OFFLINE", "value": "1"} not in consumer(resources)["env"]:
        yield "the consumer may ask the model hub"


def _own_job(resources: Resources) -> Iterator[str]:
    for monitor in of(resources, "PodMonitor"):
        if monitor["spec"].get("jobLabel") != "app.kubernetes.io/instance":
            yield "dashboards and alerts cannot tell releases apart"


def _named_shortly(resources: Resources) -> Iterator[str]:
    yield from (name for name in (found["metadata"]["name"] for found in resources) if len(name) > 63)


def _open(resources: Resources, peer: dict[str, Any]) -> None:
    _rules(resources, "egress")[0]["to"].append(peer)


POLICIES = (
    Policy("nothing else is made", _kinds, lambda r: r.append({"kind": "ClusterRole", "metadata": {"name": "x"}})),
    Policy(
        "the service account gives no token",
        _no_token,
        lambda r: one(r, "ServiceAccount").update(automountServiceAccountToken=True),
    ),
    Policy("nothing is exposed", _no_address, lambda r: one(r, "Service")["spec"].update(type="LoadBalancer")),
    Policy("both directions are denied", _denied, lambda r: _walls(r)[0]["policyTypes"].remove("Egress")),
    Policy(
        "every pod is within",
        _all_within,
        lambda r: _walls(r)[0]["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "consumer"}),
    ),
    Policy("every rule names who and what", _named, lambda r: _rules(r, "egress")[0].pop("ports")),
    Policy("no rule means everybody", _narrow, lambda r: _open(r, {"ipBlock": {"cidr": "0.0.0.0/0"}})),
    Policy(
        "nobody asks for the node's credentials",
        _no_metadata,
        lambda r: _open(r, {"ipBlock": {"cidr": "169.254.0.0/16"}}),
    ),
    Policy(
        "nothing is asked but metrics and health",
        _only_metrics,
        lambda r: _rules(r, "ingress")[0]["ports"].append({"port": 22}),
    ),
    Policy(
        "selectors meet the consumers and nobody else",
        _found,
        lambda r: one(r, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"),
    ),
    Policy(
        "nodes can be drained",
        _evictable,
        lambda r: one(r, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ),
    Policy("scaling is slow, and never to nothing", _scaled, lambda r: one(r, "ScaledObject")["spec"].pop("fallback")),
    Policy(
        "users may do no more than they need",
        _least,
        lambda r: of(r, "KafkaUser")[0]["spec"]["authorization"]["acls"][0]["operations"].append("All"),
    ),
    Policy("topics are kept", _kept, lambda r: of(r, "KafkaTopic")[0]["metadata"]["annotations"].clear()),
    Policy("the consumer asks no hub", _offline, lambda r: consumer(r)["env"].pop(-1)),
    Policy("the job is the release", _own_job, lambda r: one(r, "PodMonitor")["spec"].pop("jobLabel")),
    Policy("names fit", _named_shortly, lambda r: one(r, "Service")["metadata"].update(name="x" * 64)),
)
