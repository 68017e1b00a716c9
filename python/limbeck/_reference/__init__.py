"""The Rust pipeline again, slow and readable: the oracle of `limbeck prepare` in tests.

The way of a record is that of the core: `records` (lines to candidates) → `answers` (does the
rationale conclude the answer) → `render` (text with spans) → `tokens` (ids with kinds) → `packing`
(rows), walked by `pipeline`. Nothing here is fast, threaded or bounded in memory, and nothing but
`json`, `jinja2` and the `tokenizers` wheel does any work for it.
"""

from limbeck._reference.pipeline import Prepared, Rejected, prepare

__all__ = ["Prepared", "Rejected", "prepare"]
