"""Figures for Prometheus: rates and latencies by operation, lag, caches, queues, the process. `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphsvc.errors import Forbidden
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.authentication import caller_of
from graphsvc.service.gate import Call, Gate

LATENCIES = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Bounds of the latency histogram's buckets, in seconds."""


class Metrics:
    """The figures of one service.

    Args:
        gate: whose calls are counted. restarts: of workers before this one.
    """

    def __init__(self, gate: Gate, *, restarts: int = 0) -> None:
        self.registry = CollectorRegistry()
        self._calls = Histogram(
            "graphsvc_operation_seconds", "How long operations took, by name.", ["operation"],
            buckets=LATENCIES, registry=self.registry,
        )  # fmt: skip
        self._ended = Counter(
            "graphsvc_operations", "Operations, by name and how they ended: `ok` or an error's code.",
            ["operation", "outcome"], registry=self.registry,
        )  # fmt: skip
        self._responses = Counter(
            "graphsvc_http_responses", "HTTP responses, by path and status.", ["path", "status"], registry=self.registry
        )
        self.under_way = Gauge("graphsvc_http_requests_under_way", "HTTP requests now.", registry=self.registry)
        self.snapshot = Gauge(
            "graphsvc_snapshot_timestamp_seconds",
            "When the latest snapshot on schedule was taken, in seconds since 1970; 0: none was.",
            registry=self.registry,
        )
        self.snapshot_failures = Counter(
            "graphsvc_snapshot_failures", "Snapshots on schedule that failed.", registry=self.registry
        )
        Gauge("graphsvc_worker_restarts", "Workers that ended before this one.", registry=self.registry).set(restarts)
        Gauge("graphsvc_worker_start_timestamp_seconds", "When this worker began.", registry=self.registry).set(
            time.time()
        )
        self.registry.register(_Memory(gate.memory))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        gate.listeners.append(self._count)

    def _count(self, call: Call) -> None:
        self._calls.labels(call.operation).observe(call.seconds)
        self._ended.labels(call.operation, call.code or "ok").inc()

    def answered(self, path: str, status: int) -> None:
        """Count a response. Paths that nothing is at are one."""
        self._responses.labels(path, str(status)).inc()

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)

    async def serve(self, request: Request) -> Response:
        """`GET /metrics`: of the whole memory, so for callers of all namespaces."""
        if caller_of(request).namespaces is not None:
            raise Forbidden("these figures are of all namespaces", where="/metrics")
        return Response(await run_in_threadpool(self.text), media_type=CONTENT_TYPE_LATEST)

    @property
    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/metrics", self.serve)]


class CountResponses:
    """Counts responses and what is under way."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, tell)
        finally:
            self._metrics.under_way.dec()
            route = scope.get("route")
            self._metrics.answered(getattr(route, "path", "other") if status != 404 else "other", status)


class _Memory(Collector):
    """What the memory says of itself, asked when the figures are."""

    def __init__(self, memory: AsyncMemory) -> None:
        self._memory = memory._memory

    def collect(self) -> Iterable[Metric]:
        stats = self._memory.stats()
        lag = GaugeMetricFamily(
            "graphsvc_lag_entries", "Entries of the log that a projection has yet to take in.", labels=["projection"]
        )
        for name, entries in stats["lag"].items():
            lag.add_metric([name], entries)
        yield lag
        stopped = GaugeMetricFamily(
            "graphsvc_projection_failed", "1 where a projection has stopped or fails.", labels=["projection"]
        )
        for name in stats["lag"]:
            stopped.add_metric([name], float(name in stats["errors"]))
        yield stopped
        records = GaugeMetricFamily("graphsvc_records", "Live records, by kind.", labels=["kind"])
        for name, count in stats["records"].items():
            records.add_metric([name], count)
        yield records
        sizes = GaugeMetricFamily("graphsvc_file_bytes", "What the memory's files take.", labels=["file"])
        for name, size in stats["bytes"].items():
            sizes.add_metric([name], size)
        yield sizes
        yield GaugeMetricFamily("graphsvc_log_head", "Number of the log's last entry.", value=stats["head"])
        yield GaugeMetricFamily("graphsvc_pending_vectors", "Records not embedded yet.", value=stats["pending"])
        yield GaugeMetricFamily(
            "graphsvc_model_loaded", "1 where the embedding model is in memory.", value=stats["embedder"]["loaded"]
        )
        yield GaugeMetricFamily(
            "graphsvc_writes_waiting", "Writes in the queue before the log.", value=stats["writes_waiting"]
        )
        yield GaugeMetricFamily(
            "graphsvc_writer_stopped", "1 where the log's writer has stopped.", value=bool(stats["writer_stopped"])
        )
        cache: dict[str, Any] = stats["query_cache"]
        yield CounterMetricFamily("graphsvc_query_cache_hits", "Answers given again.", value=cache["hits"])
        yield CounterMetricFamily("graphsvc_query_cache_misses", "Answers computed.", value=cache["misses"])
        yield GaugeMetricFamily("graphsvc_query_cache_entries", "Answers kept.", value=cache["entries"])
