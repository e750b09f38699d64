"""A transport in the reference server, as a system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transports._contract import Transport
from transports._server import InferenceServer
from transports.conformance._api import Model, SystemFactory


class ServedTransport:
    """A transport and the reference server that serves it."""

    def __init__(self, transport: Transport, server: InferenceServer) -> None:
        self._transport = transport
        self._server = server

    def client(self) -> Any:
        """Return a new client of the transport."""
        return self._transport.client()

    def start(self) -> None:
        """Start the server."""
        self._server.start()

    def shutdown(self, timeout_s: float) -> None:
        """Shut the server down."""
        self._server.shutdown(timeout_s)


def system_factory(
    create_transport: Callable[[int], Transport], **server_options: Any
) -> SystemFactory:
    """Return what builds a transport in the reference server.

    Args:
        create_transport: called with the number of clients.
        server_options: of `transports.InferenceServer`, beyond the batching.
    """

    def create(
        model: Model,
        *,
        num_clients: int,
        max_batch_size: int = 64,
        min_batch_size: int = 1,
        timeout_s: float = 0.01,
    ) -> ServedTransport:
        transport = create_transport(num_clients)
        server = InferenceServer(
            model,
            transport,
            max_batch_size=max_batch_size,
            min_batch_size=min_batch_size,
            timeout=timeout_s,
            **server_options,
        )
        return ServedTransport(transport, server)

    return create
