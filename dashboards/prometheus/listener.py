"""Serves a driver's figures for Prometheus under ``/metrics``, on loopback unless told otherwise."""

from __future__ import annotations

import errno
import logging
import threading
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from lossweep.dashboards.prometheus.figures import GpuFigures, SweepFigures
from lossweep.search.study.events import Event
from lossweep.spaces.files.errors import Problem, UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where to serve.

    Attributes:
        host: an address of this machine.
        ports: the first free one is taken; several drivers on one machine share a range.
    """

    host: str
    ports: range

    @classmethod
    def parse(cls, text: str) -> MetricsAddress:
        """Read ``PORT``, ``HOST:PORT``, or either with a range of ports, as in ``0.0.0.0:9200-9215``.

        Raises:
            UserError: it is none of these.
        """
        host, _, ports = text.rpartition(":")
        first, dash, last = ports.partition("-")
        try:
            found = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            found = range(0)
        if not found or found[0] < 0 or found[-1] > 65_535:
            allowed = "9200, 0.0.0.0:9200 or 9200-9215"
            raise UserError(Problem("not a port", key="--metrics-port", found=text, allowed=allowed))
        return cls(host.strip("[]") or "127.0.0.1", found)


class PrometheusListener:
    """A `search.study.events.Listener` that keeps a sweep's figures and answers who asks for them.

    Attributes:
        port: the one that it listens on.
    """

    def __init__(self, address: MetricsAddress) -> None:
        """Begin to listen.

        Raises:
            UserError: no port is free, or the host is none of this machine.
        """
        self._figures = SweepFigures()
        registry = CollectorRegistry()
        for collector in (self._figures, GpuFigures()):
            registry.register(collector)
        ProcessCollector(registry=registry)
        self._server, self._thread = _served(address, registry)
        self.port = int(self._server.server_port)
        log.info("Figures for Prometheus: http://%s:%d/metrics", address.host, self.port)

    def handle(self, event: Event) -> None:
        """Take one event in."""
        self._figures.take(event)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


def _served(address: MetricsAddress, registry: CollectorRegistry) -> tuple[WSGIServer, threading.Thread]:
    for port in address.ports:
        try:
            return start_http_server(port, address.host, registry)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                said = f"cannot listen on {address.host}:{port}: {error.strerror}"
                raise UserError(Problem(said, key="--metrics-port")) from None
    taken = f"{address.ports[0]}-{address.ports[-1]}" if len(address.ports) > 1 else str(address.ports[0])
    hint = "give another, or a range: 9200-9215"
    raise UserError(Problem("the port is taken", key="--metrics-port", found=taken, hint=hint))
