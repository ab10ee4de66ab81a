"""A span for each operation, by OpenTelemetry, where it is installed and asked for."""

from __future__ import annotations

import time

from graphsvc.errors import MissingExtra
from graphsvc.service.gate import Call, Gate


def trace(gate: Gate) -> None:
    """Make spans of a gate's calls.

    Where the process has a tracer provider already, it takes them; else they are sent as OTLP over HTTP, to where
    OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`).

    Raises:
        MissingExtra: it isn't installed.
    """
    try:
        from opentelemetry import trace as otel
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import ProxyTracerProvider, Status, StatusCode
    except ImportError as error:
        raise MissingExtra(
            "OpenTelemetry isn't installed", where="tracing", hint="pip install 'graphsvc[otel]'."
        ) from error
    if isinstance(otel.get_tracer_provider(), ProxyTracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        otel.set_tracer_provider(provider)
    tracer = otel.get_tracer("graphsvc")

    def span(call: Call) -> None:
        ended = time.time_ns()
        made = tracer.start_span(
            call.operation, start_time=ended - int(call.seconds * 1e9), attributes={"graphsvc.caller": call.caller.name}
        )
        if call.error is not None:
            made.set_attribute("error.type", call.code)
            made.set_status(Status(StatusCode.ERROR, call.code))
        made.end(ended)

    gate.listeners.append(span)
