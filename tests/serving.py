"""A model behind `transformers serve` on loopback, as anyone has it who gets its directory."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_WITHIN_S = 60


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """Serve the model of a directory; gives the address of its API."""
    from transformers.cli.serve import Serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = Serve(
        str(model), host="127.0.0.1", port=port, device="cpu", dtype="float32", non_blocking=True
    )
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not served.server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        served.kill_server()
