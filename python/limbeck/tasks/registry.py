"""The generated tasks by name."""

from dataclasses import fields
from typing import Any

from limbeck.errors import InputError
from limbeck.tasks.arithmetic import Arithmetic
from limbeck.tasks.base import Task
from limbeck.tasks.coin_flip import CoinFlip
from limbeck.tasks.last_letters import LastLetters
from limbeck.tasks.shuffled_objects import ShuffledObjects

__all__ = ["NAMES", "get"]

_TASKS: dict[str, type[Task[Any, Any]]] = {
    task.name: task for task in (Arithmetic, LastLetters, CoinFlip, ShuffledObjects)
}
NAMES = tuple(_TASKS)


def get(name: str) -> Task[Any, Any]:
    """Return a generated task.

    Args:
        name: `coin_flip`, or with difficulty settings `coin_flip:flips=8`,
            `arithmetic:steps=4:largest=50`.

    Raises:
        InputError: No such task, no such setting, or a value out of range.

    Example:
        >>> get("coin_flip:flips=8").solve("A coin is heads up. Bob flips it. Is it heads up?")
        'no'
    """
    base, *settings = name.split(":")
    if base not in _TASKS:
        raise InputError(f"tasks: {name!r} is unknown; known are {', '.join(NAMES)}")
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
