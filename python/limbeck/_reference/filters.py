"""What the filters say to one candidate, each by its definition; twin of `filter/`.

MinHash is left out: `near` gives the exact Jaccard similarity, which the core estimates.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from limbeck._reference import answers

Word = tuple[str, int]
"""A word in lower case, and its length in UTF-8 bytes as it was written."""

LOOP_WORDS = 20
LOOP_PERIOD = 64
SENTENCE_WORDS = 6


def words(text: str) -> list[Word]:
    """Runs of letters and digits in lower case; ideographs and kana are words of their own."""
    found: list[Word] = []
    run = ""
    for character in [*text, " "]:
        is_word = unicodedata.category(character)[0] in "LN"
        alone = is_word and _stands_alone(character)
        if is_word and not alone:
            run += character
            continue
        for word in (run, character if alone else ""):
            if word:
                found.append(("".join(map(str.lower, word)), len(word.encode())))
        run = ""
    return found


def _stands_alone(character: str) -> bool:
    code = ord(character)
    ranges = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
    return any(first <= code <= last for first, last in (*ranges, (0x20000, 0x3FFFF)))


def ngrams(text: Sequence[Word], length: int) -> list[tuple[str, ...]]:
    """The runs of `length` words, in order."""
    names = [word for word, _ in text]
    return [tuple(names[at : at + length]) for at in range(len(names) - length + 1)]


def jaccard(left: Iterable[str], right: Iterable[str], shingle: int = 5) -> float:
    """The exact similarity of two candidates, given as the texts of their fields."""

    def shingles(texts: Iterable[str]) -> set[tuple[str, ...]]:
        every = [words(text) for text in texts]
        return {run for text in every if text for run in ngrams(text, min(shingle, len(text)))}

    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b) if a | b else 0.0


def repeats(rationale: str, options: Mapping[str, Any]) -> bool:
    """Whether a rationale goes round in circles."""
    if len(rationale.encode()) < options["min_bytes"]:
        return False
    text = words(rationale)
    total = sum(size for _, size in text) or 1
    return (
        _is_loop([word for word, _ in text], options["loop_repeats"])
        or _top(text, options["top_ngram"]) / total > options["max_top_share"]
        or _duplicated(text, options["duplicate_ngram"]) / total > options["max_duplicate_share"]
        or compression(rationale.encode()) < options["min_compression"]
    )


def _is_loop(names: list[str], repeats: int) -> bool:
    for period in range(1, min(LOOP_PERIOD, len(names) // repeats) + 1):
        at = len(names) - 1
        while at >= period and names[at] == names[at - period]:
            at -= 1
        if len(names) - 1 - at + period >= max(LOOP_WORDS, period * repeats):
            return True
    return False


def _top(text: list[Word], n: int) -> int:
    """Bytes of the most frequent n-gram's occurrences that do not overlap."""
    seen: dict[tuple[str, ...], list[int]] = {}
    for first, run in enumerate(ngrams(text, n)):
        places = seen.setdefault(run, [])
        if not places or first >= places[-1] + n:
            places.append(first)
    return max(
        (
            len(places) * sum(size for _, size in text[places[0] : places[0] + n])
            for places in seen.values()
            if len(places) > 1
        ),
        default=0,
    )


def _duplicated(text: list[Word], n: int) -> int:
    """Bytes of words in n-grams that stood before."""
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for first, run in enumerate(ngrams(text, n)):
        if run in seen:
            covered.update(range(first, first + n))
        seen.add(run)
    return sum(text[at][1] for at in covered)


def compression(text: bytes) -> float:
    """The size in LZ77, a byte for a literal and three for a match, over the text's own."""
    last: dict[int, int] = {}
    size = at = 0
    while at + 4 <= len(text):
        four = int.from_bytes(text[at : at + 4], "little")
        slot = (four * 0x9E37_79B1 & 0xFFFF_FFFF) >> 20
        before = last.get(slot)
        last[slot] = at
        length = 0
        if before is not None:
            while at + length < len(text) and text[before + length] == text[at + length]:
                length += 1
        size += 3 if length >= 4 else 1
        at += length if length >= 4 else 1
    return (size + len(text) - at) / max(len(text), 1)


def leaks(question: str, gold: str, rationale: str | None) -> bool:
    """Whether the question states its answer, or holds the rationale's conclusion."""
    stated = answers.conclusion(question)
    if stated is not None and not _lists_options(stated) and answers.equal(gold, stated):
        return True
    concluded = answers.conclusion(rationale) if rationale else None
    if rationale is None or concluded is None:
        return False
    # The conclusion is the last of its kind; its sentence begins after the mark before it.
    start = rationale.rfind(concluded)
    before = rationale[:start]
    dot = before.rfind(". ")
    begin = max(*(before.rfind(mark) for mark in "\n!?"), dot + 1 if dot >= 0 else -1)
    sentence = [word for word, _ in words(rationale[begin + 1 : start + len(concluded)])]
    asked = [word for word, _ in words(question)]
    runs = (asked[at : at + len(sentence)] for at in range(len(asked)))
    return len(sentence) >= SENTENCE_WORDS and sentence in runs


def _lists_options(text: str) -> bool:
    labels = sum(a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" and b in ")]:" for a, b in pairwise(text))
    return labels > 1 or "or" in text.lower().split()


def is_contaminated(
    texts: tuple[str, str], questions: Sequence[str], options: Mapping[str, Any]
) -> bool:
    """Whether question or rationale hold text of evaluation `questions`."""
    n, short, common = options["ngram"], options["overlap_ngram"], options["common"]
    asked = [words(question) for question in questions]

    def rare(length: int) -> list[set[tuple[str, ...]]]:
        runs = [set(ngrams(question, length)) for question in asked]
        counts: dict[tuple[str, ...], int] = {}
        for run in (run for each in runs for run in each):
            counts[run] = counts.get(run, 0) + 1
        return [{run for run in each if counts[run] <= common} for each in runs]

    longs, shorts = rare(n), rare(short)
    for index, text in enumerate(map(words, texts)):
        names = [word for word, _ in text]
        if index == 0 and names and names in [[word for word, _ in each] for each in asked]:
            return True
        mine, few = set(ngrams(text, n)), set(ngrams(text, short))
        if any(mine & each for each in longs):
            return True
        if any(each and len(few & each) / len(each) >= options["overlap"] for each in shorts):
            return True
    return False


def has_broken(texts: Iterable[str], max_broken: float) -> bool:
    """Whether too many characters are controls, U+FFFD, of private use or unassigned."""
    characters = "".join(texts)
    broken = sum(
        (unicodedata.category(each) in ("Cc", "Co", "Cn") and each not in "\t\n\r")
        or each == "\ufffd"
        for each in characters
    )
    return broken > max_broken * len(characters)
