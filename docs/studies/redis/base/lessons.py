"""Write what the base of `../kinds.yaml` reads: drills, and queries with their answers, mixed.

A drill is of words of random letters that were never seen before, so nothing can be guessed of it
and all of it be looked up: to say words again that were listed, or the colours that they stand for.

    python docs/studies/redis/base/lessons.py out/lessons.jsonl
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from limbeck import tasks
from limbeck.induction.prompts import few_shot_prompt, rule_prompt
from limbeck.induction.records import query_record
from limbeck.induction.task import InductionTask, Pair

SEED = 1000
COPIES = 6_000
COLOURS = 16_000
TASKS = {
    "miniscan:names=3:functions=2:demonstrations=8:queries=1": 8_000,
    "list_functions:steps=1:queries=1": 5_000,
    "one_d_arc": 4_000,
}
_NAMES = ("RED", "BLUE", "GREEN", "YELLOW", "PINK", "BLACK", "WHITE", "BROWN")


def copy_drill(number: int, rng: random.Random) -> dict[str, Any]:
    """Two to six words, then lines of some of them; the last line is the answer."""
    words = _words(rng.randint(2, 6), rng)
    lines = [words]
    while sum(map(len, lines)) < 24:
        lines.append(rng.choices(words, k=rng.randint(1, 4)))
    *shown, last = (" ".join(line) for line in lines)
    return {
        "id": f"copy-{number:05}",
        "domain": "copy",
        "question": "\n".join(shown),
        "answer": last,
    }


def colour_drill(number: int, rng: random.Random) -> dict[str, Any]:
    """Two to five words and the colour of each, then phrases of them; the last one is asked."""
    words = _words(rng.randint(2, 5), rng)
    meaning = dict(zip(words, rng.sample(_NAMES, len(words)), strict=True))
    phrases = [[word] for word in words]
    phrases += [rng.choices(words, k=rng.randint(1, 3)) for _ in range(rng.randint(4, 7))]
    *shown, (given, answer) = (
        Pair(" ".join(phrase), " ".join(meaning[word] for word in phrase)) for phrase in phrases
    )
    return {
        "id": f"colour-{number:05}",
        "domain": "colour",
        "question": few_shot_prompt(InductionTask("miniscan", "", tuple(shown), ()), given),
        "answer": answer,
    }


def queries(name: str, count: int) -> Iterator[dict[str, Any]]:
    """Demonstrations, a query and its answer.

    The rule and what asks for one are there for the tokenizer, so that their words are tokens:
    `answer_only` does not train on a rationale.
    """
    for task in tasks.get(name).tasks(count, seed=SEED, split="train"):
        record = query_record(task, 0, domain=name)
        yield {**record, "rationale": f"{rule_prompt(task)} {task.rule}"}


def _words(count: int, rng: random.Random) -> list[str]:
    """Draw different words, as short as those of random grammars and as long as the public ones."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choices(ascii_lowercase, k=rng.randint(2, 9)))] = None
    return list(words)


def main(path: Path) -> None:
    """Write all of them, mixed."""
    rng = random.Random(SEED)  # noqa: S311 (drills, not keys)
    lessons = [copy_drill(number, rng) for number in range(COPIES)]
    lessons += [colour_drill(number, rng) for number in range(COLOURS)]
    lessons += [lesson for name, count in TASKS.items() for lesson in queries(name, count)]
    rng.shuffle(lessons)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(lesson) + "\n" for lesson in lessons)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
