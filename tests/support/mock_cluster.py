"""librdkafka's own cluster in memory, which answers real clients over TCP and errs as it is told.

Its functions are those of librdkafka's rdkafka_mock.h. confluent-kafka ships them without a way in from Python.
"""

import ctypes
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import pytest
from confluent_kafka import cimpl

BROKER = 1
_PRODUCER = 0  # rd_kafka_type_t

_Handle = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_Handle, []),
    "rd_kafka_conf_set": (ctypes.c_int, [_Handle, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_new": (_Handle, [ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [_Handle]),
    "rd_kafka_mock_cluster_new": (_Handle, [_Handle, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [_Handle]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_Handle]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [_Handle, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [_Handle, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [_Handle, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_Handle, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    # The rest of its arguments are pairs of error and milliseconds.
    "rd_kafka_mock_broker_push_request_error_rtts": (
        ctypes.c_int,
        [_Handle, ctypes.c_int32, ctypes.c_int16, ctypes.c_size_t],
    ),
    "rd_kafka_mock_start_request_tracking": (None, [_Handle]),
    "rd_kafka_mock_get_requests": (
        ctypes.POINTER(_Handle),
        [_Handle, ctypes.POINTER(ctypes.c_size_t)],
    ),
    "rd_kafka_mock_request_api_key": (ctypes.c_int16, [_Handle]),
    "rd_kafka_mock_request_destroy_array": (None, [ctypes.POINTER(_Handle), ctypes.c_size_t]),
}


class Api(IntEnum):
    """The requests that a transaction is made of, by their api keys."""

    PRODUCE = 0
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has arrived; 0 is the answer to one that is done as asked."""

    api: Api
    error: int


class MockCluster:
    """One broker; a context manager.

    It keeps transactional ids, producer ids and epochs, and refuses what belongs to an old one. It does not keep
    committed offsets, shows what is uncommitted to everyone, and does not refuse to abort what it has committed.
    """

    def __init__(self) -> None:
        self._library = _library()
        self._planned: defaultdict[Api, deque[int]] = defaultdict(deque)
        self._asked: list[Asked] = []

    def __enter__(self) -> Self:
        text = ctypes.create_string_buffer(512)
        config = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(config, b"log_level", b"0", text, len(text))
        self._client = self._library.rd_kafka_new(_PRODUCER, config, text, len(text))
        assert self._client, text.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, BROKER)
        self._library.rd_kafka_mock_start_request_tracking(self._cluster)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @property
    def address(self) -> str:
        """Where clients find it."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    @property
    def asked(self) -> list[Asked]:
        """All requests of a transaction so far, in the order of their arrival."""
        for api in self._requests()[len(self._asked) :]:
            self._asked.append(Asked(api, self._planned[api].popleft() if self._planned[api] else 0))
        return list(self._asked)

    def create_topic(self, name: str) -> None:
        """Create a topic of one partition."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), 1, 1) == 0

    def fail(self, api: Api, errors: Sequence[int]) -> None:
        """Answer the next requests with these errors, without doing as asked; `_TRANSPORT` closes the connection."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._plan(api, errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def delay(self, api: Api, seconds: float) -> None:
        """Do as the next request asks, and answer after so long."""
        delay_ms = ctypes.c_int(round(seconds * 1000))
        self._plan(api, [0])
        push = self._library.rd_kafka_mock_broker_push_request_error_rtts
        assert push(self._cluster, BROKER, api, 1, ctypes.c_int(0), delay_ms) == 0

    def hang_up(self) -> None:
        """Close all connections."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER)
        self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER)

    def _plan(self, api: Api, errors: Sequence[int]) -> None:
        _ = self.asked  # what has arrived so far was answered without them
        self._planned[api].extend(errors)

    def _requests(self) -> list[Api]:
        count = ctypes.c_size_t()
        requests = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        keys = [self._library.rd_kafka_mock_request_api_key(requests[index]) for index in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(requests, count)
        return [Api(key) for key in keys if key in set(Api)]


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(cimpl.__file__)  # names are looked up in what it is linked with, too: its librdkafka
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            pytest.skip(f"the librdkafka of this confluent-kafka exports no {name}")
        function.restype, function.argtypes = result, arguments
    return library
