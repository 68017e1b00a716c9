"""The tasks by name: generated ones with their difficulty, and public sets with their place."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.errors import InputError
from limbeck.tasks.arithmetic import Arithmetic, Bus, Game, Harbour, Sums
from limbeck.tasks.base import Task
from limbeck.tasks.coin_flip import CoinFlip
from limbeck.tasks.induction import (
    Acre,
    Induction,
    InductionFile,
    ListFunctions,
    MiniScan,
    OneDArc,
)
from limbeck.tasks.last_letters import LastLetters
from limbeck.tasks.more_or_fewer import MoreOrFewer
from limbeck.tasks.public import SETS, PublicTask
from limbeck.tasks.shuffled_objects import ShuffledObjects

__all__ = ["NAMES", "Generated", "Public", "files_of", "find", "get", "is_task"]

Generated: TypeAlias = Task[Any, Any] | Induction
Public: TypeAlias = PublicTask | InductionFile

_CHAINS: tuple[type[Task[Any, Any]], ...] = (
    *(Arithmetic, Bus, Game, Harbour, Sums, MoreOrFewer),
    *(LastLetters, CoinFlip, ShuffledObjects),
)
_INDUCTION: tuple[type[Induction], ...] = (OneDArc, Acre, ListFunctions, MiniScan)
_TASKS: dict[str, type[Generated]] = {
    **{task.name: task for task in _CHAINS},
    **{task.name: task for task in _INDUCTION},
}
NAMES = tuple(_TASKS)
_ALL_TESTS = ":test=all"
_INDUCTION_FILES = {f"{task.kind}_public": task.kind for task in _INDUCTION}


def is_task(name: str) -> bool:
    """Whether a name, with or without settings, is that of a task."""
    base = name.partition(":")[0]
    return base in _TASKS or base in SETS or base in _INDUCTION_FILES


def find(name: str) -> Generated | Public:
    """Return a task.

    Args:
        name: A generated task, as `get` reads it; or a public set, `gsm8k` of the hub or
            `gsm8k:path=records.jsonl` of a local copy; or `acre_public:path=acre.jsonl` and the
            like, induction tasks in the public format: a tenth is for tests, with `:test=all`
            behind the path every one.

    Raises:
        InputError: No such task, no such setting, or a value out of range.

    Example:
        >>> str(find("svamp:path=svamp.jsonl")), str(find("arithmetic:steps=4"))
        ('svamp', 'arithmetic:steps=4')
    """
    base, colon, rest = name.partition(":")
    key, equals, path = rest.partition("=")
    if base in _INDUCTION_FILES:
        file = path.removesuffix(_ALL_TESTS)
        if key != "path" or not file:
            raise InputError(f"tasks: {base} is a file of tasks; name it, {base}:path=FILE")
        return InductionFile(_INDUCTION_FILES[base], Path(file), all_tests=file != path)
    if base not in SETS:
        return get(name)
    if colon and (key != "path" or not equals or not path):
        raise InputError(f"tasks: {base} has no setting {rest!r}; it has path=FILE_OR_DIRECTORY")
    return PublicTask(SETS[base], Path(path) if path else None)


def get(name: str) -> Generated:
    """Return a generated task.

    Args:
        name: `coin_flip`, or with difficulty settings `coin_flip:flips=8`,
            `arithmetic:steps=4:largest=50`.

    Raises:
        InputError: No such task, no such setting, or a value out of range.

    Example:
        >>> get("coin_flip:flips=8")
        CoinFlip(flips=8)
    """
    base, *settings = name.split(":")
    if base not in _TASKS:
        raise InputError(
            f"tasks: {name!r} is unknown; known are {', '.join(NAMES)}, and of public sets "
            f"{', '.join([*SETS, *_INDUCTION_FILES])}"
        )
    known = [field.name for field in fields(_TASKS[base])]
    values: dict[str, int] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in known:
            raise InputError(f"tasks: {base} has no setting {key!r}; it has {', '.join(known)}")
        if not value.isdecimal():
            raise InputError(f"tasks: {name}: {setting!r} gives no number; write {key}=3")
        values[key] = int(value)
    return _TASKS[base](**values)


def files_of(name: str) -> list[str]:
    """The files that a task is read from: its own path, a public set's, none of a generated one."""
    if not is_task(name):
        return [name]
    task = find(name)
    return [str(task.path)] if isinstance(task, Public) and task.path else []
