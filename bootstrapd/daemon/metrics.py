"""`/healthz`, `/readyz` and `/metrics` on the boot listener: for monitoring, with nothing secret in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from bootstrapd.edge.http import Page
from bootstrapd.model import TextReply

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def pages(counters: Counter[str], is_ready: Callable[[], bool]) -> Mapping[str, Page]:
    """The pages by path. What is wrong is said to the operator (`/v1/status`), not to the boot network."""

    def healthz() -> tuple[int, TextReply]:
        return 200, _text("healthz", "ok\n")

    def readyz() -> tuple[int, TextReply]:
        return (200, _text("readyz", "ready\n")) if is_ready() else (503, _text("readyz", "not ready\n"))

    def metrics() -> tuple[int, TextReply]:
        return 200, TextReply(body=exposition(counters), name="metrics", content_type=METRICS_TYPE)

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


def exposition(counters: Counter[str]) -> bytes:
    """Every counter as `bootstrapd_total{what="dhcp.offer"}`, in the Prometheus text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily

    class Counts:
        def collect(self) -> Iterator[CounterMetricFamily]:
            family = CounterMetricFamily("bootstrapd", "What the appliance did.", labels=["what"])
            for what, count in sorted(counters.items()):
                family.add_metric([what], count)
            yield family

    registry = CollectorRegistry()
    registry.register(Counts())
    return generate_latest(registry)


def _text(name: str, text: str) -> TextReply:
    return TextReply(body=text.encode(), name=name)
