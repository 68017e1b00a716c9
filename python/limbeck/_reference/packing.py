"""Examples to rows: best fit decreasing as the textbook has it; twin of `pack.rs`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """The examples of each row, by their index.

    The longest goes first, into the row with the least space that holds it; of several such rows
    the one touched last. Rows stand as they were opened, examples as they were placed.

    Args:
        lengths: Tokens of each example, at most `capacity`.
        capacity: Tokens of a row.
    """
    rows: list[list[int]] = []
    spaces: list[tuple[int, int, int]] = []  # space, minus the time of the last touch, row
    longest_first = sorted(range(len(lengths)), key=lambda example: -lengths[example])
    for time, example in enumerate(longest_first):
        at = bisect_left(spaces, (lengths[example],))
        if at == len(spaces):
            rows.append([])
            space, row = capacity, len(rows) - 1
        else:
            space, _, row = spaces.pop(at)
        rows[row].append(example)
        insort(spaces, (space - lengths[example], -time, row))
    return rows


def windows(lengths: Sequence[int], *, capacity: int, window: int, packing: str) -> list[list[int]]:
    """The rows of all examples, packed a window at a time."""
    if packing == "none":
        return [[example] for example in range(len(lengths))]
    rows = []
    for start in range(0, len(lengths), window):
        packed = pack(lengths[start : start + window], capacity)
        rows += [[start + example for example in row] for row in packed]
    return rows
