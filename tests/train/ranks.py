"""Two processes that train together on this machine, as a launcher would start them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import torch


def in_two_processes(train: Callable[..., None], *args: Any) -> None:
    """Call `train(rank, *args)` in two processes of one gloo group.

    Args:
        train: Any callable: the processes are forked.
        *args: Whatever else it takes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        _train, (port, train, args), nprocs=2, start_method="fork"
    )


def _train(rank: int, port: int, train: Callable[..., None], args: tuple[Any, ...]) -> None:
    from accelerate.state import AcceleratorState

    # What the parent knows of its own must be forgotten.
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    train(rank, *args)
    torch.distributed.barrier()
    # Without farewells: who takes the group apart joins gloo's threads with Python's lock in hand,
    # and where one of them waits for that lock the process never ends (seen on torch 2.11).
    os._exit(0)
