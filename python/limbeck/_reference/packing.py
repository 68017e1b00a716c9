"""Examples to rows as the textbook packs them, and balanced; twin of `pack.rs` and `balance.rs`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush


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


def balance(
    lengths: Sequence[int], domains: Sequence[str | None], capacity: int
) -> list[list[int]]:
    """The examples of each row, every row mixing domains as the whole does.

    The longest goes first, into the row that has the fewest tokens of its domain; after eight such
    rows that do not hold it, into the one with the least space that does, else into a new row.

    Args:
        lengths: Tokens of each example, at most `capacity`.
        domains: The domain of each example.
        capacity: Tokens of a row.
    """
    at_first = -(-sum(lengths) // capacity)
    spaces = [capacity] * at_first
    rows: list[list[int]] = [[] for _ in spaces]
    shares: dict[str | None, _Share] = {}
    for example in sorted(range(len(lengths)), key=lambda example: -lengths[example]):
        length = lengths[example]
        share = shares.setdefault(domains[example], _Share(len(shares) * at_first // 7))
        full: list[tuple[int, int]] = []
        taken = None
        while len(full) < 8 and taken is None:
            if share.seen < len(spaces):
                seen = share.seen
                row = (share.start + seen) % at_first if seen < at_first else seen
                tokens, share.seen = 0, seen + 1
            elif share.rows:
                tokens, row = heappop(share.rows)
            else:
                break
            if spaces[row] < length:
                full.append((tokens, row))
            else:
                taken = row
                heappush(share.rows, (tokens + length, row))
        for each in full:
            heappush(share.rows, each)
        if taken is None:
            fitting = [(space, row) for row, space in enumerate(spaces) if space >= length]
            taken = min(fitting, default=(capacity, len(spaces)))[1]
            if taken == len(spaces):
                spaces.append(capacity)
                rows.append([])
        spaces[taken] -= length
        rows[taken].append(example)
    return [row for row in rows if row]


class _Share:
    """How the tokens of one domain lie in the rows that were looked at."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.seen = 0
        self.rows: list[tuple[int, int]] = []


_WINDOW_TOKENS = 1 << 24


def together(lengths: Sequence[int], window: int) -> list[range]:
    """The examples of each window: so many, or fewer that reach 2²⁴ tokens.

    Args:
        lengths: Tokens of each example.
        window: Examples that are packed together.
    """
    found = []
    start = tokens = 0
    for example, length in enumerate(lengths):
        tokens += length
        if example + 1 - start == window or tokens >= _WINDOW_TOKENS:
            found.append(range(start, example + 1))
            start, tokens = example + 1, 0
    return [*found, range(start, len(lengths))]


def windows(
    lengths: Sequence[int],
    domains: Sequence[str | None],
    *,
    capacity: int,
    window: int,
    packing: str,
) -> list[list[int]]:
    """The rows of all examples, packed a window at a time."""
    if packing == "none":
        return [[example] for example in range(len(lengths))]
    rows = []
    for examples in together(lengths, window):
        inside = slice(examples.start, examples.stop)
        if packing == "domain_balanced":
            packed = balance(lengths[inside], domains[inside], capacity)
        else:
            packed = pack(lengths[inside], capacity)
        rows += [[examples[example] for example in row] for row in packed]
    return rows
