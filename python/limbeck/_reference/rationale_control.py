"""The rationale in another order, or only its key words; twin of `rationale_control.rs`."""

from __future__ import annotations

import re
import string
import unicodedata

import xxhash

from limbeck._reference.choice import mix

OPERATORS = "+-−–*/×·÷=≠≈<>≤≥%^→"
CONTENT = 4


def apply(control: str, seed: int, question: str, answer: str, rationale: str) -> str:
    """The rationale under a control: `none`, `shuffled` or `key_words`."""
    if control == "shuffled":
        return shuffled(seed, rationale)
    return key_words(question, answer, rationale) if control == "key_words" else rationale


def shuffled(seed: int, text: str) -> str:
    """The words in a random order, the white space where it was."""
    state = mix(mix(seed) ^ xxhash.xxh3_64_intdigest(text.encode()))
    words = text.split()
    order = sorted((mix(state ^ index), word) for index, word in enumerate(words))
    spaces = re.split(r"[^\s]+", text)
    return spaces[0] + "".join(
        word + space for (_, word), space in zip(order, spaces[1:], strict=True)
    )


def key_words(question: str, answer: str, rationale: str) -> str:
    """Words with a digit, operators, words of the answer, longer ones of the question."""
    known = {bare(word) for word in question.split() if len(bare(word)) >= CONTENT}
    known |= {bare(word) for word in answer.split()} - {""}
    return " ".join(
        word
        for word in rationale.split()
        if any(unicodedata.category(sign).startswith("N") for sign in word)
        or all(sign in OPERATORS for sign in word)
        or bare(word) in known
    )


def bare(word: str) -> str:
    """The word without case and without the punctuation around it."""
    return word.strip(string.punctuation).lower()
