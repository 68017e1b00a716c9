"""docs/tasks.md says of the tasks what they are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from limbeck.config import check
from limbeck.errors import InputError
from limbeck.sources import Data
from limbeck.tasks import NAMES, SETS, find, get

DOC = (Path(__file__).parents[2] / "docs/tasks.md").read_text("utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    section = DOC.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    return {first.strip("`"): rest for first, *rest in cells}


def test_the_recipe_in_it_is_one() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    tasks = check(Data, yaml.safe_load(text)["data"]).tasks
    assert [str(find(task)) for task in tasks] == ["coin_flip", tasks[1], "svamp"]


def test_difficulties_and_their_ranges_are_true() -> None:
    found = rows("Generated tasks")
    assert tuple(found) == NAMES
    for name, cells in found.items():
        told = re.findall(r"`(\w+)` (\d+) \((\d+)–(\d+)\)", cells[-1])
        assert {field.name: field.default for field in fields(get(name))} == {
            key: int(default) for key, default, _, _ in told
        }
        for key, _, low, high in told:
            for value in range(int(low) - 1, int(high) + 2, int(high) - int(low) + 2):
                if value < 0:
                    continue  # refused as no number
                with pytest.raises(InputError, match=f"give {low} to {high}"):
                    get(f"{name}:{key}={value}")


def test_places_and_sizes_are_true() -> None:
    found = rows("Public sets")
    assert list(found) == list(SETS)
    for name, (place, sizes, _) in found.items():
        known = SETS[name]
        assert place.startswith(f"`{known.hub.id}`")
        assert known.hub.file is None or f"`{known.hub.file}`" in place
        assert tuple(map(int, re.findall(r"\d+", sizes))) == known.sizes
        assert ("by place" in sizes) == (known.hub.test is None)
