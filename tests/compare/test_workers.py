"""A job that fails, or takes its process along, is said to; others go on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from limbeck.compare.workers import Event, Pool


@dataclass(frozen=True)
class Deadly:
    """Ends its process as soon as that receives it."""

    name: str

    def __setstate__(self, state: dict[str, str]) -> None:
        os._exit(3)


@dataclass(frozen=True)
class Odd:
    """Nothing that could be walked."""

    name: str


def last(pool: Pool) -> list[Event]:
    events: list[Event] = []
    while not pool.is_idle:
        events += [event for event in pool.events() if event.is_last]
    return events


def test_as_many_jobs_run_at_a_time_as_there_are_processes() -> None:
    pool = Pool(2, threads=1)
    try:
        pool.start(Odd("first"))
        assert pool.has_room
        pool.start(Odd("second"))
        assert not pool.has_room
        assert {event.job for event in last(pool)} == {"first", "second"}
    finally:
        pool.close()


def test_a_dead_worker_is_replaced_and_an_error_told() -> None:
    pool = Pool(1, threads=1)
    try:
        pool.start(Deadly("deadly"))
        assert not pool.has_room
        assert last(pool) == [Event("deadly", error="its process ended with code 3")]
        pool.start(Odd("odd"))
        (event,) = last(pool)
        assert event.error is not None
        assert "AssertionError" in event.error
        assert "Traceback" in event.trace
    finally:
        pool.close()
