"""Prepared sets of every way, reduced to what must be equal: the examples in them.

An example is its token ids and how many of them are the prompt. The digest does not depend on how
examples share rows, nor on their order.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

PROMPT, QUESTION = 0, 1


def digest(examples):
    """A hash of the multiset of (token ids, tokens of the prompt), and the number of examples."""
    hashes = sorted(
        hashlib.blake2b(
            np.asarray(ids, dtype="<i4").tobytes() + prompt.to_bytes(8, "little"), digest_size=16
        ).digest()
        for ids, prompt in examples
    )
    return hashlib.sha256(b"".join(hashes)).hexdigest(), len(hashes)


def tables(path):
    """The record batches of every Arrow stream in a directory."""
    for file in sorted(Path(path).glob("*.arrow")):
        if file.name == "examples.arrow":
            continue
        with pa.memory_map(str(file)) as source:
            yield from pa.ipc.open_stream(source)


def column(batch, name):
    """Flat values and row offsets of a list column."""
    array = batch.column(batch.schema.get_field_index(name))
    offsets = array.offsets.to_numpy()
    return array.values.to_numpy(zero_copy_only=False), offsets


def _cut(batch, lengths_name, ids, is_prompt, ids_offsets):
    lengths, length_offsets = column(batch, lengths_name)
    for row in range(batch.num_rows):
        at = int(ids_offsets[row])
        for length in lengths[length_offsets[row] : length_offsets[row + 1]]:
            end = at + int(length)
            yield ids[at:end], int(is_prompt[at:end].sum())
            at = end


def limbeck(path):
    """The examples of a directory that `limbeck prepare` wrote."""
    for batch in tables(path):
        ids, offsets = column(batch, "input_ids")
        kinds, _ = column(batch, "span_kinds")
        yield from _cut(
            batch, "example_lengths", ids, (kinds == PROMPT) | (kinds == QUESTION), offsets
        )


def labelled(path):
    """The examples of a directory with `labels` and `seq_lengths`: the expert's and TRL's."""
    for batch in tables(path):
        ids, offsets = column(batch, "input_ids")
        labels, _ = column(batch, "labels")
        yield from _cut(batch, "seq_lengths", ids, labels == -100, offsets)
