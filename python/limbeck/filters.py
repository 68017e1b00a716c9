"""The filters a recipe may name, each with its options and their defaults.

An entry of `prepare.filters` is a bare name or a mapping of `name` and options. The core looks for
reasons in the order of the list, except that `answer_mismatch` and `exact_duplicate` come first and
`over_cap`, which chooses among what could be kept, comes last. Where a default follows the
literature its description says so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from limbeck.section import Section

__all__ = ["NAMES", "SECTIONS", "Filter"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class AnswerMismatch(Section):
    """The rationale concludes something other than the answer."""

    name: Literal["answer_mismatch"] = "answer_mismatch"


class ExactDuplicate(Section):
    """An earlier candidate has the same fields."""

    name: Literal["exact_duplicate"] = "exact_duplicate"


class NearDuplicate(Section):
    """An earlier candidate has nearly the same words, by MinHash and LSH; the first is kept.

    A pair of Jaccard similarity s is compared with probability 1 - (1 - s^rows)^bands: with the
    defaults 0.96 at s = 0.8 and 0.99 at 0.85. Shingles of five words are usual: datatrove has them,
    with 14 bands of 8 rows, of which half the pairs of s = 0.69 share one.
    """

    name: Literal["near_duplicate"] = "near_duplicate"
    threshold: PositiveShare = Field(0.8, description="estimated similarity that is too much")
    shingle: Count = Field(5, description="words of a shingle")
    bands: Count = Field(6, description="bands of the 128 numbers; memory grows with them")
    rows: Count = Field(4, description="numbers of a band")
    fields: tuple[Literal["question", "rationale", "answer"], ...] = Field(
        ("question", "rationale"), min_length=1, description="what is compared, together"
    )

    @model_validator(mode="after")
    def _fits(self) -> NearDuplicate:
        if self.bands * self.rows > 128:
            raise ValueError(f"{self.bands} bands of {self.rows} rows are more than 128 numbers")
        return self


class Repetition(Section):
    """The rationale goes round in circles.

    The measures are Gopher's (Rae et al. 2021) and the ratio of compression, the limits our own.
    Gopher's for web pages, 0.16 of a text in its top 4-gram and 0.10 in duplicated 10-grams, reject
    sound reasoning, which lists days, letters or flips in sentences that are alike but for a word.
    Such sentences rarely share 20 words in a row, while a passage told three times over does.
    """

    name: Literal["repetition"] = "repetition"
    min_bytes: int = Field(200, ge=0, description="shorter rationales are not judged")
    top_ngram: Count = Field(4, description="words of the n-gram that is most frequent")
    max_top_share: Share = Field(0.7, description="characters in it, of those of all words")
    duplicate_ngram: Count = Field(20, description="words of the n-grams that stood before")
    max_duplicate_share: Share = Field(0.6, description="characters in them")
    min_compression: Share = Field(0.12, description="compressed size over size, LZ77")
    loop_repeats: int = Field(4, ge=2, description="repeats of the last words that are a loop")

    @model_validator(mode="after")
    def _ordered(self) -> Repetition:
        if self.duplicate_ngram < self.top_ngram:
            raise ValueError("duplicate_ngram is less than top_ngram; give at least as much")
        return self


class Contaminated(Section):
    """The candidate holds text of an evaluation set.

    One shared run of 13 words is enough (GPT-3, Brown et al. 2020), or half of a question's 8-grams
    (PaLM asks for 70 % of them, Tülu 3 for more than half of the tokens), or the whole question,
    however short. Runs that stand in more than ten questions are wording of the task and do not
    count, as GPT-3 ignored what more than ten documents share.
    """

    name: Literal["contaminated"] = "contaminated"
    against: tuple[str, ...] = Field(min_length=1, description="evaluation files, or globs")
    ngram: Count = Field(13, description="words of a shared run that is enough")
    overlap_ngram: Count = Field(8, description="words of the runs that are counted")
    overlap: PositiveShare = Field(0.5, description="share of a question's runs that is too much")
    common: Count = Field(10, description="questions with the same run, at most")

    @model_validator(mode="after")
    def _ordered(self) -> Contaminated:
        if self.overlap_ngram > self.ngram:
            raise ValueError("overlap_ngram is more than ngram; give at most as much")
        return self


class AnswerLeak(Section):
    """The question states the answer, or holds the sentence in which the rationale concludes."""

    name: Literal["answer_leak"] = "answer_leak"


class Charset(Section):
    """Letters of other scripts, or characters that no text has.

    Letters of no script of their own (as in mathematics) count as wanted.
    """

    name: Literal["charset"] = "charset"
    scripts: tuple[str, ...] = Field(("Latin", "Greek"), description="names of Unicode")
    min_share: Share = Field(0.9, description="letters of these scripts, of all letters")
    max_broken: Share = Field(
        0.0, description="characters that are controls, U+FFFD, of private use or unassigned"
    )


class OverCap(Section):
    """Of each question the few rationales that differ most (PRADA's diverse reasoning)."""

    name: Literal["over_cap"] = "over_cap"
    max_per_question: Count = Field(8, description="as many as Fine-tune-CoT samples a question")
    shingle: Count = Field(3, description="words of the shingles by which they differ")


SECTIONS: dict[str, type[Section]] = {
    section.model_fields["name"].default: section
    for section in (
        AnswerMismatch,
        ExactDuplicate,
        NearDuplicate,
        Repetition,
        Contaminated,
        AnswerLeak,
        Charset,
        OverCap,
    )
}
"""The section of each filter by its name."""

NAMES = tuple(SECTIONS)


def _with_name(entry: Any) -> Any:
    return {"name": entry} if isinstance(entry, str) else entry


Filter = Annotated[
    AnswerMismatch
    | ExactDuplicate
    | NearDuplicate
    | Repetition
    | Contaminated
    | AnswerLeak
    | Charset
    | OverCap,
    Field(discriminator="name"),
    BeforeValidator(_with_name),
]
"""One entry of `prepare.filters`."""
