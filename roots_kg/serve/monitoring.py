"""Counts and times of a server, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

__all__ = ["Monitoring"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Monitoring:
    """The metrics of one server; several in one process do not know of each other."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "roots_requests", "Requests that were answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "roots_request_seconds",
            "From a request's first byte to its last answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "roots_batch_size",
            "Texts that the model read at once.",
            ("operation",),
            buckets=SIZES,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "roots_waiting_texts", "Texts that wait for the model.", registry=self._registry
        )

    def watch(self, waiting: Callable[[], int]) -> None:
        """Report what `waiting` returns as the number of texts that wait."""
        self._waiting.set_function(waiting)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, kind: tuple[str, str | None, bool], size: int) -> None:
        """Count a batch that the model read."""
        self._batches.labels(kind[0]).observe(size)

    def exposition(self) -> bytes:
        """Return all of them in Prometheus's text format."""
        return generate_latest(self._registry)
