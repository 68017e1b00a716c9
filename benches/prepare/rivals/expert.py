"""The expert's script: everything in memory, the fastest libraries there are.

orjson reads, format strings render, gigatoken encodes, numba packs (best fit decreasing over all
examples), pyarrow writes: what a data engineer writes who has an afternoon and knows them all.

    python expert.py CORPUS TOKENIZER OUT --threads 2 [--filtered]
"""

import argparse
from pathlib import Path

import awkward as ak
import gigatoken
import numba
import numpy as np
import orjson
import pyarrow as pa

MAX_LENGTH = 2048


@numba.njit(cache=True)
def best_fit_decreasing(order, lengths, capacity):
    """The row of each example; one list of rows for each free space, and a tree over the spaces."""
    size = 1
    while size < capacity + 1:
        size *= 2
    tree = np.zeros(2 * size, dtype=np.bool_)
    head = np.full(capacity + 1, -1, dtype=np.int64)
    following = np.full(len(lengths), -1, dtype=np.int64)
    row_of = np.empty(len(lengths), dtype=np.int64)
    rows = 0
    for example in order:
        length = lengths[example]
        node = size + length
        if not tree[node]:
            while node > 1 and not (node % 2 == 0 and tree[node + 1]):
                node //= 2
            if node > 1:
                node += 1
                while node < size:
                    node = 2 * node if tree[2 * node] else 2 * node + 1
        if node > 1:
            space = node - size
            row = head[space]
            head[space] = following[row]
            if head[space] < 0:
                tree[node] = False
                while node > 1:
                    node //= 2
                    tree[node] = tree[2 * node] or tree[2 * node + 1]
        else:
            space = capacity
            row = rows
            rows += 1
        row_of[example] = row
        left = space - length
        following[row] = head[left]
        head[left] = row
        node = size + left
        while node > 0 and not tree[node]:
            tree[node] = True
            node //= 2
    return row_of, rows


@numba.njit(cache=True)
def lay_out(order, starts, lengths, prompt_lengths, content, out_ids, out_labels):
    """Copy the examples in their order into flat ids and labels."""
    at = 0
    for example in order:
        length = lengths[example]
        start = starts[example]
        prompt = prompt_lengths[example]
        for i in range(length):
            out_ids[at + i] = content[start + i]
            out_labels[at + i] = -100 if i < prompt else content[start + i]
        at += length


def read(path):
    with open(path, "rb") as file:
        return [orjson.loads(line) for line in file]


def flat(encoded):
    """Flat ids and offsets of an awkward array."""
    layout = ak.to_packed(encoded).layout
    return np.asarray(layout.content.data), np.asarray(layout.offsets.data)


def encode(tokenizer, records, *, parallel, end):
    prompts = [f"Question: {r['question'].strip()}\nAnswer:" for r in records]
    completions = [
        f" {r['rationale'].strip()}\nThe answer is {r['answer'].strip()}." for r in records
    ]
    backend = tokenizer.backend
    prompt_ids, prompt_offsets = flat(backend.encode_batch(prompts, parallel=parallel))
    rest_ids, rest_offsets = flat(backend.encode_batch(completions, parallel=parallel))
    prompt_lengths = np.diff(prompt_offsets)
    rest_lengths = np.diff(rest_offsets)
    lengths = prompt_lengths + rest_lengths + 1
    starts = np.concatenate(([0], np.cumsum(lengths)))
    content = np.empty(starts[-1], dtype=np.int32)
    join(content, starts, prompt_ids, prompt_offsets, rest_ids, rest_offsets, end)
    return content, starts, lengths, prompt_lengths


@numba.njit(cache=True)
def join(content, starts, prompt_ids, prompt_offsets, rest_ids, rest_offsets, end):
    for example in range(len(starts) - 1):
        at = starts[example]
        for i in range(prompt_offsets[example], prompt_offsets[example + 1]):
            content[at] = prompt_ids[i]
            at += 1
        for i in range(rest_offsets[example], rest_offsets[example + 1]):
            content[at] = rest_ids[i]
            at += 1
        content[at] = end


def write(directory, content, starts, lengths, prompt_lengths):
    fits = np.flatnonzero(lengths <= MAX_LENGTH)
    order = fits[np.argsort(-lengths[fits], kind="stable")]
    row_of, rows = best_fit_decreasing(order, lengths, MAX_LENGTH)
    by_row = order[np.argsort(row_of[order], kind="stable")]
    total = int(lengths[by_row].sum())
    ids = np.empty(total, dtype=np.int32)
    labels = np.empty(total, dtype=np.int32)
    lay_out(by_row, starts, lengths, prompt_lengths, content, ids, labels)
    tokens_in_row = np.bincount(row_of[by_row], weights=lengths[by_row], minlength=rows)
    row_offsets = np.concatenate(([0], np.cumsum(tokens_in_row))).astype(np.int64)
    members = np.bincount(row_of[by_row], minlength=rows)
    member_offsets = np.concatenate(([0], np.cumsum(members))).astype(np.int64)
    columns = {
        "input_ids": pa.LargeListArray.from_arrays(row_offsets, ids),
        "labels": pa.LargeListArray.from_arrays(row_offsets, labels),
        "seq_lengths": pa.LargeListArray.from_arrays(member_offsets, lengths[by_row]),
    }
    table = pa.table(columns)
    directory.mkdir(parents=True)
    with pa.ipc.new_stream(directory / "rows.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--filtered", action="store_true")
    arguments = parser.parse_args()
    records = read(arguments.corpus)
    if arguments.filtered:
        from chain import filtered

        records = filtered(records)
    tokenizer = gigatoken.Tokenizer(arguments.tokenizer)
    end = tokenizer._special_tokens()["<|endoftext|>"]
    encoded = encode(tokenizer, records, parallel=arguments.threads > 1, end=end)
    write(arguments.out, *encoded)
    size = sum(len((r["question"] + r["rationale"] + r["answer"]).encode()) for r in records)
    print(orjson.dumps({"records": len(records), "bytes": size}).decode())


if __name__ == "__main__":
    main()
