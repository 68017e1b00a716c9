"""What the filters say to one candidate, each by its definition; twin of `filter/`.

MinHash is left out: `near` gives the exact Jaccard similarity, which the core estimates.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import regex

from limbeck._reference import answers

Word = tuple[str, int]
"""A word in lower case, and its length in UTF-8 bytes as it was written."""

LOOP_WORDS = 20
LOOP_PERIOD = 64
SENTENCE_WORDS = 6


@lru_cache(maxsize=1 << 14)
def words(text: str) -> tuple[Word, ...]:
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
    return tuple(found)


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
    a, b = (
        frozenset().union(*(_shingles(text, shingle) for text in texts)) for texts in (left, right)
    )
    return len(a & b) / len(a | b) if a | b else 0.0


@lru_cache(maxsize=1 << 14)
def _shingles(text: str, shingle: int) -> frozenset[tuple[str, ...]]:
    found = words(text)
    return frozenset(ngrams(found, min(shingle, len(found)))) if found else frozenset()


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


def _top(text: Sequence[Word], n: int) -> int:
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


def _duplicated(text: Sequence[Word], n: int) -> int:
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


def contaminated(
    texts: tuple[str, str], questions: Sequence[str], options: Mapping[str, Any]
) -> str | None:
    """Which of question and rationale holds text of evaluation `questions` first."""
    n, short, common = options["ngram"], options["overlap_ngram"], options["common"]
    asked = [[word for word, _ in words(question)] for question in questions]
    longs, shorts = (_rare(tuple(questions), length, common) for length in (n, short))
    for field, text in zip(("question", "rationale"), map(words, texts), strict=True):
        names = [word for word, _ in text]
        if field == "question" and names and names in asked:
            return field
        mine, few = set(ngrams(text, n)), set(ngrams(text, short))
        if any(mine & each for each in longs):
            return field
        if any(each and len(few & each) / len(each) >= options["overlap"] for each in shorts):
            return field
    return None


@lru_cache(maxsize=64)
def _rare(questions: tuple[str, ...], length: int, common: int) -> list[set[tuple[str, ...]]]:
    """Of each question the runs of words that few others have."""
    runs = [set(ngrams(words(question), length)) for question in questions]
    counts = Counter(run for each in runs for run in each)
    return [{run for run in each if counts[run] <= common} for each in runs]


def charset(texts: Mapping[str, str], options: Mapping[str, Any]) -> str | None:
    """The field of the first character at fault, where there are too many of its kind."""
    characters = [(field, each) for field, text in texts.items() for each in text]
    broken = [field for field, each in characters if _is_broken(each)]
    letters = [(field, each) for field, each in characters if unicodedata.category(each)[0] == "L"]
    scripts = "".join(rf"\p{{Script_Extensions={name}}}" for name in options["scripts"])
    wanted = regex.compile(rf"[{scripts}\p{{Script=Common}}\p{{Script=Inherited}}]")
    foreign = [field for field, each in letters if not wanted.match(each)]
    if len(broken) > options["max_broken"] * len(characters):
        return broken[0]
    if foreign and len(letters) - len(foreign) < options["min_share"] * len(letters):
        return foreign[0]
    return None


def _is_broken(character: str) -> bool:
    """Controls but tab and line ends, U+FFFD, private use, unassigned."""
    if unicodedata.category(character) in ("Cc", "Co", "Cn"):
        return character not in "\t\n\r"
    return character == "\ufffd"
