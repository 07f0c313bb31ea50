"""Traces by OpenTelemetry, sent where OTEL_EXPORTER_OTLP_ENDPOINT says; without it nothing is loaded or recorded."""

from __future__ import annotations

from fastapi import FastAPI

from common.settings import ServiceSettings


def instrument(app: FastAPI | None, *, settings: ServiceSettings, service: str) -> None:
    """SQL, outgoing HTTP, Kafka records and the requests to `app` are traced, when an endpoint is set.

    A worker has no `app`. Once in a process: API and worker in one are instrumented by the API.
    """
    if settings.otlp_endpoint is None:
        return
    # Imported here: a second of start-up that a process without traces need not pay.
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"marketplace-{service}"}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    if app is not None:
        FastAPIInstrumentor.instrument_app(app, excluded_urls="livez,readyz,health,metrics")
    AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().instrument()
    AIOKafkaInstrumentor().instrument()
