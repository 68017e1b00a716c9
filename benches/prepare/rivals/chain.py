"""The filters as others write them, with the settings of limbeck's.

`usual` is the chain of `datasets.filter` and datasketch that recipes on the web show, `filtered`
the expert's, with rensa for MinHash and plain Python made for speed. Both look for what limbeck
looks for: an answer that the rationale contradicts, exact and near duplicates, repetition, length.
Near duplicates are found by estimates, so the three keep slightly different records.
"""

import hashlib
import re
from collections import Counter

SHINGLE = 5
PERMUTATIONS = 128
BANDS = 16
THRESHOLD = 0.8
LEAST_WORDS = 3
SCHEME = "affine32"

CONCLUSION = re.compile(r"(?:answer is|answer:|####)\s*\(?([^\n.]*)", re.IGNORECASE)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def agrees(rationale, answer):
    """False only where a conclusion is stated and is another one."""
    stated = CONCLUSION.findall(rationale)
    if not stated:
        return True
    said, gold = stated[-1].strip(" $()").lower(), answer.strip(" $()").lower()
    if said == gold or gold in said:
        return True
    numbers, wanted = NUMBER.findall(said), NUMBER.findall(gold)
    if not (numbers and wanted):
        return False
    return float(numbers[-1].replace(",", "")) == float(wanted[0].replace(",", ""))


def repeats(text):
    """The most frequent 3-gram of words covers more than a fifth of them, or lines repeat."""
    words = text.split()
    if len(words) >= 30:
        grams = Counter(zip(words, words[1:], words[2:], strict=False))
        if 3 * grams.most_common(1)[0][1] > 0.2 * len(words):
            return True
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) >= 4 and len(set(lines)) <= 0.7 * len(lines)


def shingles(text):
    words = text.lower().split()
    return [" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))]


def filtered(records):
    """The expert's: one loop, then rensa in bulk; only rows that collide are looked at singly."""
    seen = set()
    passed = []
    for record in records:
        question, rationale, answer = record["question"], record["rationale"], record["answer"]
        if len(rationale.split()) < LEAST_WORDS or not agrees(rationale, answer):
            continue
        key = hash(f"{question}\n{rationale}\n{answer}")
        if key in seen or repeats(rationale):
            continue
        seen.add(key)
        passed.append(record)
    return unlike(passed)


def unlike(records):
    """The records without those that come close to an earlier one."""
    from rensa import RMinHash, RMinHashLSH

    matrix = RMinHash.digest_matrix_from_token_sets(
        (shingles(f"{r['question']}\n{r['rationale']}") for r in records), PERMUTATIONS, 0
    )
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
    collides = index.query_duplicate_flags_matrix_one_shot(matrix)
    kept = []
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
    for number, (record, collided) in enumerate(zip(records, collides, strict=True)):
        if collided:
            sketch = RMinHash(PERMUTATIONS, 0)
            sketch.update(shingles(f"{record['question']}\n{record['rationale']}"))
            if index.query(sketch):
                continue
            index.insert(number, sketch)
        kept.append(record)
    return kept


def usual(dataset, processes):
    """The usual chain: one `filter` a rule, datasketch for near duplicates."""
    from datasketch import MinHash, MinHashLSH

    seen = set()

    def is_new(record):
        text = f"{record['question']}\n{record['rationale']}\n{record['answer']}"
        key = hashlib.sha256(text.encode()).hexdigest()
        if key in seen:
            return False
        seen.add(key)
        return True

    def sketch(record):
        sketch = MinHash(PERMUTATIONS, scheme=SCHEME)
        text = f"{record['question']}\n{record['rationale']}"
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        return {"sketch": sketch.hashvalues}

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def is_unlike(record, number):
        sketch = MinHash(PERMUTATIONS, hashvalues=record["sketch"], scheme=SCHEME)
        if index.query(sketch):
            return False
        index.insert(number, sketch)
        return True

    dataset = dataset.filter(
        lambda record: (
            len(record["rationale"].split()) >= LEAST_WORDS
            and agrees(record["rationale"], record["answer"])
        ),
        num_proc=processes,
    )
    dataset = dataset.filter(is_new)
    dataset = dataset.filter(lambda record: not repeats(record["rationale"]), num_proc=processes)
    dataset = dataset.map(sketch, num_proc=processes)
    dataset = dataset.filter(is_unlike, with_indices=True)
    return dataset.remove_columns("sketch")
