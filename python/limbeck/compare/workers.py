"""Processes that walk jobs one after the other; one that dies takes only its own job along.

A worker is spawned, so it starts clean, and keeps PyTorch loaded from one job to the next.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from limbeck.compare.plan import Cell, Shared
from limbeck.errors import InputError
from limbeck.stages import Progress, Stage

__all__ = ["Event", "Job", "Pool"]


class Job(Protocol):
    """What a worker walks."""

    @property
    def name(self) -> str:
        """What the user calls it."""


@dataclass(frozen=True)
class Event:
    """What a worker tells.

    Attributes:
        job: Whose job it is about.
        stage: Which stage runs, "" at the end of the job.
        done: Of the stage, in its own units.
        total: Likewise, 0 where it is not known.
        error: What went wrong; None while nothing did.
        trace: The traceback of an error that is not the user's.
    """

    job: str
    stage: str = ""
    done: int = 0
    total: int = 0
    error: str | None = None
    trace: str = ""

    @property
    def is_last(self) -> bool:
        """Whether the job has ended."""
        return not self.stage


class Pool:
    """Workers that take jobs as they become free.

    Args:
        processes: How many.
        threads: Of PyTorch in each.
    """

    def __init__(self, processes: int, threads: int) -> None:
        self._processes = processes
        self._threads = threads
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Job]] = {}

    @property
    def has_room(self) -> bool:
        """Whether another job can start now."""
        return len(self._busy) < self._processes

    @property
    def is_idle(self) -> bool:
        """Whether no job runs."""
        return not self._busy

    def start(self, job: Job) -> None:
        """Give a job to a free worker."""
        worker = self._idle.pop() if self._idle else _Worker(self._threads)
        worker.connection.send(job)
        self._busy[worker.connection] = worker, job

    def events(self) -> Iterator[Event]:
        """Wait for what the workers tell next."""
        for connection in wait(list(self._busy)):
            assert isinstance(connection, Connection), "only workers' connections are waited for"
            worker, job = self._busy[connection]
            try:
                event: Event = connection.recv()
            except (EOFError, ConnectionResetError):
                del self._busy[connection]
                yield Event(job.name, error=f"its process {worker.end()}")
                continue
            if event.is_last:
                del self._busy[connection]
                self._idle.append(worker)
            yield event

    def close(self) -> None:
        """End all workers, also those that are at work."""
        for worker in self._idle:
            worker.dismiss()
        for worker, _ in self._busy.values():
            worker.stop()
        self._idle.clear()
        self._busy.clear()


class _Worker:
    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_work, args=(theirs, threads), daemon=True
        )
        self._process.start()
        theirs.close()  # else its death would not end the connection

    def end(self) -> str:
        """Say how a worker died."""
        self._process.join()
        code = self._process.exitcode
        if code == -9:
            return "was killed (signal 9), as it is when memory runs out; use fewer `processes`"
        return f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"

    def dismiss(self) -> None:
        """Let a worker that waits for a job go in its own time."""
        self.connection.close()
        self._process.join()

    def stop(self) -> None:
        """End a worker whatever it does."""
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _work(connection: Connection, threads: int) -> None:
    # Before PyTorch is loaded, which reads it once.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(_walk(job, connection))


def _walk(job: Any, connection: Connection) -> Event:
    from limbeck.compare.cell import walk_cell, walk_shared
    from limbeck.compare.estimate import Trial, walk_trial

    @contextmanager
    def watch(stage: Stage, done: bool) -> Iterator[Progress]:
        if not done:
            connection.send(Event(job.name, stage.name))
        yield lambda done, total, _: connection.send(Event(job.name, stage.name, done, total))

    try:
        if isinstance(job, Trial):
            return walk_trial(job)
        if isinstance(job, Cell):
            walk_cell(job, watch)
        else:
            assert isinstance(job, Shared), f"{type(job)} is no job"
            walk_shared(job, watch)
    except InputError as error:
        return Event(job.name, error=str(error))
    except Exception as error:  # whatever it is, the other cells go on
        return Event(
            job.name, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()
        )
    return Event(job.name)
