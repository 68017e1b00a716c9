"""A task of induction: demonstrations of a hidden rule, and queries that it answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

__all__ = ["KINDS", "InductionTask", "Kind", "Pair"]

Kind = Literal["acre", "list_functions", "miniscan", "one_d_arc"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Pair(NamedTuple):
    """An input and the output that belongs to it, as text."""

    input: str
    output: str


@dataclass(frozen=True)
class InductionTask:
    """What a student sees of a rule, and what it is asked.

    Attributes:
        kind: Which rules there are, and how inputs and outputs are written.
        id: Its name among the tasks of its kind.
        demonstrations: Pairs that are shown.
        queries: Pairs whose outputs are asked.
        rule: The true rule as `parse_rule` reads it; None where it is not known.
    """

    kind: Kind
    id: str
    demonstrations: tuple[Pair, ...]
    queries: tuple[Pair, ...]
    rule: str | None = None

    @property
    def content_hash(self) -> str:
        """Of what is shown and asked, in whatever order and under whatever id.

        Example:
            >>> one = Pair("[1]", "[2]"), Pair("[3]", "[4]")
            >>> task = InductionTask("list_functions", "a", one, (Pair("[5]", "[6]"),))
            >>> turned = InductionTask("list_functions", "b", one[::-1], (Pair("[5]", "[6]"),))
            >>> task.content_hash == turned.content_hash
            True
        """
        content = [self.kind, sorted(self.demonstrations), sorted(self.queries)]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
