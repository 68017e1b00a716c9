"""Write what the base of `../kinds.yaml` reads: copy drills, and queries with their answers.

A drill lists words of random letters and says them again in other orders. Behind its first line
every word can be copied and none can be guessed, so what is learnt is to copy words never seen
before.

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
from limbeck.induction.prompts import rule_prompt
from limbeck.induction.records import query_record

SEED = 1000
DRILLS = 8_000
TASKS = {
    "miniscan:names=3:functions=2:demonstrations=8:queries=1": 2_500,
    "miniscan:queries=1": 3_500,
    "list_functions:steps=1:queries=1": 6_000,
    "one_d_arc": 5_000,
}


def drill(number: int, rng: random.Random) -> dict[str, Any]:
    """Two to six words, then lines of some of them; the last line is the answer."""
    words = [
        "".join(rng.choices(ascii_lowercase, k=rng.randint(2, 7))) for _ in range(rng.randint(2, 6))
    ]
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


def queries(name: str, count: int) -> Iterator[dict[str, Any]]:
    """Demonstrations, a query and its answer.

    The rule and what asks for one are there for the tokenizer, so that their words are tokens:
    `answer_only` does not train on a rationale.
    """
    for task in tasks.get(name).tasks(count, seed=SEED, split="train"):
        record = query_record(task, 0, domain=name)
        yield {**record, "rationale": f"{rule_prompt(task)} {task.rule}"}


def main(path: Path) -> None:
    """Write all of them, mixed."""
    rng = random.Random(SEED)  # noqa: S311 (drills, not keys)
    lessons = [drill(number, rng) for number in range(DRILLS)]
    lessons += [lesson for name, count in TASKS.items() for lesson in queries(name, count)]
    rng.shuffle(lessons)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(lesson) + "\n" for lesson in lessons)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
