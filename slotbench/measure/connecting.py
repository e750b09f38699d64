"""Connecting to a Ray cluster: what keeps it from being had is said in a line, at once, and not by Ray.

Importing this imports no Ray.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

from slotbench.errors import ClusterError

_CONNECT_TIMEOUT_S: Final = 10.0
_NAME_IT: Final = "name it with --address HOST:PORT, such as 10.0.0.1:6379"
_CLIENT: Final = "ray://"
_ALIVE: Final = 0
"""Of Ray's ``GcsNodeInfo.GcsNodeState``."""


def connect(address: str = "") -> bool:
    """Connect to the cluster; whether this process was not before.

    Args:
        address: as ``ray.init`` takes it, but for Ray's client; "" is RAY_ADDRESS, or a cluster that runs here.

    Raises:
        ClusterError: Ray is not installed, the address is none, there is no cluster there, or it wants a
            token.
    """
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "Ray is not installed: pip install 'slotbench[ray]', on every node, too"
        ) from error
    if ray.is_initialized():
        return False
    _check_address(_named(address))
    place = told_place(address)
    is_there = False
    from ray.exceptions import AuthenticationError, RayError

    try:
        with _silent():
            is_there = _check_answers(address or "auto")
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError, RayError) as error:
        if isinstance(error, AuthenticationError):
            raise ClusterError(
                f"the Ray cluster {place} asks for a token, and this command gives none or another one: "
                "set RAY_AUTH_MODE=token, and have the cluster's ~/.ray/auth_token on every machine, this "
                "one too"
            ) from error
        if is_there:
            raise ClusterError(_no_node(place)) from error
        raise ClusterError(
            f"no Ray cluster answers {place}: start one with 'ray start --head', or name its address "
            "with --address HOST:PORT"
        ) from error
    _keep_quiet()
    return True


def told_place(address: str) -> str:
    """Say where the cluster is that an address means: "at 10.0.0.1:6379"."""
    named = _named(address)
    return "here" if named in {"", "auto"} else f"at {named}"


def _named(address: str) -> str:
    return address or os.environ.get("RAY_ADDRESS", "")


def _no_node(place: str) -> str:
    return (
        f"the Ray cluster {place} answers, but no node of it can be connected to: start one on this machine "
        "with 'ray start --address=HOST:PORT', and try again once 'ray status' lists it"
    )


def _check_address(where: str) -> None:
    """Refuse what is no HOST:PORT, before Ray waits for it.

    Raises:
        ClusterError: it is Ray's client's, or has no port.
    """
    if where.startswith(_CLIENT):
        raise ClusterError(
            f"{where} is an address of Ray's client, through which slotbench does not measure: "
            f"give the cluster's own; {_NAME_IT}"
        )
    if "://" in where or where in {"", "auto", "local"}:
        return
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterError(
            f"the address {where} of the Ray cluster has no port: {_NAME_IT}"
        )


def _check_answers(address: str) -> bool:
    """Refuse an address where no cluster listens, or that cannot be used: Ray itself would try for long.

    Returns:
        Whether a cluster has answered there.

    Raises:
        ClusterError: no node of it is alive.
        OSError, ValueError: nobody does, or it is no address.
        AuthenticationError: of Ray's: it wants a token and does not get it, or this process is to give one and
            has none.
    """
    if "://" in address or address == "local":
        return False
    try:
        from ray._private.authentication import authentication_token_setup as setup
        from ray._private.services import canonicalize_bootstrap_address_or_die
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # in C++
    except ImportError:  # they are Ray's own business, which asks for longer
        return False
    found = canonicalize_bootstrap_address_or_die(address)
    host, _, port = found.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    # Without a token where there is to be one, the client would end this process.
    setup.ensure_token_if_auth_enabled(create_token_if_missing=False)
    client = GcsClient(address=found)
    nodes = client.get_all_node_info().values()
    if not any(node.state == _ALIVE for node in nodes):
        raise ClusterError(_no_node(told_place(address)))
    return True


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep off the terminal what Ray's C++ writes on stderr while it connects, which no setting does."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _keep_quiet() -> None:
    """Have Ray not print a lost node's log on stdout, which is the run's own; we say ourselves what is lost.

    ``log_to_driver=False`` leaves this one printer, which has no switch.
    """
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
