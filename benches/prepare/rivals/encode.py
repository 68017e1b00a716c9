"""Encoding alone: every text of the corpus to ids with one library, in its fastest call.

python encode.py LIBRARY CORPUS TOKENIZER --threads 2
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import orjson


def texts_of(corpus):
    with corpus.open("rb") as file:
        records = [orjson.loads(line) for line in file]
    return [f"{r['question']}\n{r['rationale']}\n{r['answer']}" for r in records]


def gigatoken(path, threads):
    import awkward
    from gigatoken import Tokenizer

    backend = Tokenizer(path).backend

    def encode(texts):
        return backend.encode_batch(texts, parallel=threads > 1)

    return encode, lambda encoded: (np.asarray(ids) for ids in awkward.to_list(encoded))


def fastokens(path, _threads):
    from fastokens import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    return (
        lambda texts: encode(texts, add_special_tokens=False),
        lambda encoded: (np.asarray(getattr(one, "ids", one)) for one in encoded),
    )


def tokie(path, _threads):
    from tokie import Tokenizer

    tokenizer = Tokenizer.from_json(str(path))
    return (
        lambda texts: tokenizer.encode_batch(texts, add_special_tokens=False),
        lambda encoded: (np.asarray(one.ids) for one in encoded),
    )


def tokenizers(path, _threads):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return (
        lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False),
        lambda encoded: (np.asarray(one.ids) for one in encoded),
    )


def tiktoken(path, threads):
    from tiktoken import Encoding

    data = json.loads(path.read_text())
    letters = byte_letters()
    ranks = {
        bytes(letters[letter] for letter in token): rank
        for token, rank in data["model"]["vocab"].items()
    }
    pattern = next(
        step["pattern"]["Regex"] for step in data["pre_tokenizer"]["pretokenizers"]
        if step["type"] == "Split"
    )  # fmt: skip
    encoding = Encoding("rival", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return (
        lambda texts: encoding.encode_ordinary_batch(texts, num_threads=threads),
        lambda encoded: map(np.asarray, encoded),
    )


def byte_letters():
    """The letter that stands for each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


LIBRARIES = {f.__name__: f for f in (gigatoken, fastokens, tokie, tiktoken, tokenizers)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if arguments.threads > 1 else "false"
    texts = texts_of(arguments.corpus)
    encode, ids_of = LIBRARIES[arguments.library](arguments.tokenizer, arguments.threads)
    encode(texts[:100])
    seconds = []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        encoded = encode(texts)
        seconds.append(time.perf_counter() - start)
    hashed = hashlib.sha256()
    for ids in ids_of(encoded):
        hashed.update(ids.astype("<u4").tobytes() + b"\xff\xff\xff\xff")
    result = {
        "seconds": seconds,
        "bytes": sum(len(text.encode()) for text in texts),
        "digest": hashed.hexdigest(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
