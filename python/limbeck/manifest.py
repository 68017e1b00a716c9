"""What `manifest.json` of a prepared directory says: counts, and every choice made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    """A part of the manifest; a later version may add to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Counts(_Part):
    """Candidates and their fates.

    Attributes:
        read: All candidates: of each record one for each rationale and template; one for all its
            rationales under a template that does without.
        kept: Those that became examples.
        rejected: Those that did not, by reason; `read == kept + sum(rejected.values())`.
        unverified: Of the kept, those of which no conclusion could be read.
        held_out: Records held out for validation, which are no candidates.
        other_split: Records of other splits, which are no candidates.
    """

    read: int
    kept: int
    rejected: dict[str, int]
    unverified: int
    held_out: int = 0
    other_split: int


class SourceCounts(_Part):
    """The candidates of one input file, and the format its records were found to be in."""

    path: str
    format: str
    records: Counts


class Dropped(_Part):
    """What one filter drops in a dry run.

    Attributes:
        reason: The filter's name.
        first: Candidates that it is the first to reject.
        alone: Well-formed candidates that it would reject if it were the only filter.
        example: The place of the first of these, `file:line`; None where the filter chooses among
            all candidates at the end, or drops none.
    """

    reason: str
    first: int
    alone: int
    example: str | None


class Steps(_Part):
    """Optimizer steps of one epoch at batch size 1.

    Attributes:
        packed: With the rows as they are.
        unpacked: With one example a row. Far fewer packed steps can hurt a small data set.
    """

    packed: int
    unpacked: int


class Manifest(_Part):
    """What `manifest.json` of a prepared directory says.

    Attributes:
        path: The directory; None after a dry run.
        format: Version of the directory's layout.
        records: Candidates of all files.
        sources: Candidates of each file.
        bytes_kept: UTF-8 bytes of question, rationale and answer of the kept.
        tokens: Tokens of the kept: `total`, and by span kind.
        stored_tokens: Tokens in the rows, where prompts are shared; None where these are all.
        span_kind_codes: The numbers in the column `span_kinds`.
        domains: The names of the numbers in the column `domains`.
        rows: Packed rows.
        examples: Examples in them.
        fill: Share of `rows × max_length` that is tokens.
        max_length: Tokens of a row at most.
        steps: Optimizer steps of one epoch.
        template: The name of the template that answers at inference: of several the first.
        templates: The names of the numbers in the column `example_templates`.
        render: How text is rendered, with all choices made.
        fingerprint: Content hash of the rows.
        tokenizer_sha256: Hash of the tokenizer that was given.
        recipe_sha256: Hash of the settings.
        versions: Versions of the software.
        dropped: After a dry run, what each filter would drop, in the order of their reasons.
    """

    path: Path | None = None
    format: int
    records: Counts
    sources: tuple[SourceCounts, ...]
    bytes_kept: int
    tokens: dict[str, int]
    stored_tokens: int | None = None
    span_kind_codes: dict[str, int]
    domains: tuple[str, ...]
    rows: int
    examples: int
    fill: float
    max_length: int
    steps: Steps
    template: str
    templates: tuple[str, ...]
    render: dict[str, Any]
    fingerprint: str
    tokenizer_sha256: str
    recipe_sha256: str
    versions: dict[str, str]
    dropped: tuple[Dropped, ...] | None = None

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """The manifest of a prepared directory."""
        return cls(path=directory, **json.loads((directory / "manifest.json").read_text("utf-8")))
