"""A job that fails, or takes its process along, is said to; others go on."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from limbeck.compare.workers import Event, Pool


class Deadly:
    """Ends the process that receives it."""

    name = "deadly"

    def __reduce__(self) -> Any:
        return os._exit, (3,)


def odd(name: str) -> Any:
    """Nothing that could be walked; workers know its class, as they do not know this module's."""
    return SimpleNamespace(name=name)


def last(pool: Pool) -> list[Event]:
    events: list[Event] = []
    while not pool.is_idle:
        events += [event for event in pool.events() if event.is_last]
    return events


def test_as_many_jobs_run_at_a_time_as_there_are_processes() -> None:
    pool = Pool(2, threads=1)
    try:
        pool.start(odd("first"))
        assert pool.has_room
        pool.start(odd("second"))
        assert not pool.has_room
        ended = {event.job: event.error or "" for event in last(pool)}
        assert ended.keys() == {"first", "second"}
        assert all("AssertionError" in error for error in ended.values())
    finally:
        pool.close()


def test_a_dead_worker_is_replaced_and_an_error_told() -> None:
    pool = Pool(1, threads=1)
    try:
        pool.start(Deadly())
        assert not pool.has_room
        assert last(pool) == [Event("deadly", error="its process ended with code 3")]
        pool.start(odd("odd"))
        (event,) = last(pool)
        assert event.error is not None
        assert "AssertionError" in event.error
        assert "Traceback" in event.trace
    finally:
        pool.close()
