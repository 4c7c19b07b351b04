"""The contract as an AsyncAPI 3.0 document: what topics, schema files and headers say, for other people's tools.

Specifications: AsyncAPI 3.0.0; its Kafka bindings 0.5.0; multi-format schemas for Avro.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from sluice_schemas.headers import CONTENT_TYPE, KEY_ID, SIGNATURE, SPEC_VERSION
from sluice_schemas.released import newest
from sluice_schemas.topics import IMAGES, TOPICS, Topic

Node = dict[str, Any]

AVRO = "application/vnd.apache.avro+json;version=1.9.0"
BINDINGS = "0.5.0"

_ABOUT = (
    "Sluice reads image events from Kafka and answers each with exactly one verdict: may it be shown, and why. "
    "Values are Avro in single-object encoding (C3 01 and the CRC-64-AVRO fingerprint of the schema), or, where a "
    "schema registry is used, in Confluent framing. Outputs are published in transactions: read them with "
    "isolation.level=read_committed. Topic names are defaults. schemas/README.md of the project says the rest, first "
    "of all when an image may be displayed."
)
_HEADERS: Mapping[str, str] = {
    "content-type": f"{CONTENT_TYPE}.",
    "ce_specversion": f"CloudEvents version, {SPEC_VERSION}.",
    "ce_id": "Follows from the event, so a repeated event has the same one.",
    "ce_source": "Who published it, a URI reference.",
    "ce_type": "io.sluice.EVENT.v1.",
    "ce_time": "When it happened, RFC 3339.",
    "ce_subject": "What it is about: the image_id, of a Control kind/key.",
    "ce_causationid": "The ce_id of the input event; on outputs.",
    "traceparent": "W3C trace context.",
    "tracestate": "W3C trace context.",
    SIGNATURE: "On verdicts, where signing is on: Ed25519, 64 bytes.",
    KEY_ID: "On verdicts, where signing is on: the name of the key.",
}


def document() -> Node:
    """Return the document; every call makes a new one."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice",
            "version": version("sluice-schemas"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operation(topic) for topic in TOPICS if topic is IMAGES or topic.direction == "out"),
        "components": {
            "messages": {topic.event.__name__: _message(topic) for topic in TOPICS},
            "schemas": {"headers": _headers()},
        },
    }


def _channel(topic: Topic) -> Node:
    event = topic.event.__name__
    config = {"cleanup.policy": [topic.cleanup]}
    return {
        "address": topic.name,
        "description": f"{topic.carries[0].upper()}{topic.carries[1:]}.",
        "messages": {event: {"$ref": f"#/components/messages/{event}"}},
        "bindings": {"kafka": {"topicConfiguration": config, "bindingVersion": BINDINGS}},
    }


def _operation(topic: Topic) -> tuple[str, Node]:
    """Return name and content of what Sluice does with a topic; of the inputs, it reads the images only by now."""
    action = "receive" if topic.direction == "in" else "send"
    event = topic.event.__name__
    channel = f"#/channels/{topic.name}"
    return f"{action}{event}", {
        "action": action,
        "summary": newest(event).definition["doc"],
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event}"}],
    }


def _message(topic: Topic) -> Node:
    schema = newest(topic.event.__name__).definition
    key = {"type": "string", "description": f"{topic.key}, UTF-8."}
    return {
        "name": f"{schema['namespace']}.{schema['name']}",
        "title": schema["name"],
        "summary": schema["doc"],
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"schemaFormat": AVRO, "schema": schema},
        "bindings": {"kafka": {"key": key, "bindingVersion": BINDINGS}},
    }


def _headers() -> Node:
    """Return the headers as JSON schema: none is required, since on inputs they are advice."""
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in binary mode and W3C trace context; on what Sluice reads, all are optional.",
        "properties": {name: {"type": "string", "description": about} for name, about in _HEADERS.items()},
    }
