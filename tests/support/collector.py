"""An OpenTelemetry collector that keeps what it is sent: the real protocol, OTLP over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """Where it is, and every body it received; `asked` holds paths and headers of the requests."""

    port: int = 0
    traces: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    listen: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        """Its URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        """Return every span."""
        sent = map(ExportTraceServiceRequest.FromString, self.traces)
        scopes = [scope for each in sent for resource in each.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def metric_names(self) -> set[str]:
        """Return the name of every metric."""
        sent = map(ExportMetricsServiceRequest.FromString, self.metrics)
        scopes = [scope for each in sent for resource in each.resource_metrics for scope in resource.scope_metrics]
        return {metric.name for scope in scopes for metric in scope.metrics}


@contextmanager
def collector() -> Iterator[Collector]:
    """Take a free port of loopback, where nobody answers before `listen` is called."""

    class Answer(_Answer):
        kept = Collector()

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False) as server:
        server.server_bind()
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))

        def listen() -> None:
            server.server_activate()
            serving.start()

        Answer.kept.port, Answer.kept.listen = server.server_port, listen
        try:
            yield Answer.kept
        finally:
            if serving.ident:
                server.shutdown()
                serving.join()


class _Answer(BaseHTTPRequestHandler):
    kept: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept.asked.append(self.path.encode() + b"\n" + bytes(self.headers))
        (self.kept.traces if self.path.startswith("/v1/traces") else self.kept.metrics).append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the library gave it
        """Stay silent."""
