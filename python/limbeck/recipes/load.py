"""A YAML file and `key=value` overrides become recipes, one a method.

A recipe file is a method (or a list of methods that share everything else) plus the keys that
differ from its defaults; or a list of such mappings, which is how a run of several methods writes
its resolved recipes down. A fault is reported at the file and line where it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from limbeck.config import Recipe, RecipeError, SectionT, check, suggest
from limbeck.errors import InputError
from limbeck.recipes import METHODS
from limbeck.recipes.base import merge
from limbeck.recipes.phases import phase_recipes

DEMO = Path(__file__).with_name("demo.yaml")

Keys = tuple[str, ...]


def load(path: Path | None = None, overrides: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """The recipes of a file, one a method, with overrides on top.

    Args:
        path: A YAML file; the embedded default where there is none.
        overrides: `key.sub=value`, the value in YAML; a number picks an element of a list
            (`train.objectives.0.weight=0.5`).

    Raises:
        InputError: The file or an override cannot be read, or a key is unknown or out of range.

    Example:
        >>> [recipe.method for recipe in load(overrides=["seed=3"])]
        ['answer_only', 'think_first', 'pst']
    """
    document, places = read(path or DEMO)
    changes = [parse_override(text) for text in overrides]
    listed = isinstance(document, list)
    recipes: list[Recipe] = []
    for n, values in enumerate(document if listed else [document]):
        try:
            recipes += _resolve(values, changes)
        except RecipeError as error:
            overridden = any(
                all(a == b for a, b in zip(error.path, keys, strict=False)) for keys, _ in changes
            )
            at = (str(n), *error.path) if listed else error.path
            place = "" if overridden else place_of(at, places)
            raise InputError(f"{place}{error}") from None
    return tuple(recipes)


def _resolve(values: Mapping[str, Any], changes: Sequence[tuple[Keys, Any]]) -> list[Recipe]:
    # A change inside a list waits for the method, whose own list it may be.
    inside = [any(key.isdecimal() for key in keys) for keys, _ in changes]
    for (keys, value), later in zip(changes, inside, strict=True):
        values = values if later else merge(values, nest(keys, value))
    methods = values.get("method")
    if not methods:
        raise RecipeError(("method",), f"missing; add one of {', '.join(METHODS)}")
    sections = {key: value for key, value in values.items() if key != "method"}
    recipes = [
        _method(name)(**sections) for name in ([methods] if isinstance(methods, str) else methods)
    ]
    for (keys, value), later in zip(changes, inside, strict=True):
        if later:
            recipes = [_replace(recipe, keys, value) for recipe in recipes]
    for recipe in recipes:
        phase_recipes(recipe)
    return recipes


def load_stage(path: Path) -> Recipe:
    """The recipe of a file for one stage alone, which needs neither a student nor data in it.

    Raises:
        InputError: As `load`; or the file names several methods, whose stages differ.
    """
    values, places = read(path)
    method = values.get("method") if isinstance(values, dict) else None
    if not isinstance(method, str):
        raise InputError(f"{path}: method: name one method; a stage of its own follows one")
    elsewhere = {"student": "given elsewhere", "data": {"paths": ["given elsewhere"]}}
    try:
        return _resolve(merge(elsewhere, values), ())[0]
    except RecipeError as error:
        raise InputError(f"{place_of(error.path, places)}{error}") from None


def load_training(path: Path) -> Recipe:
    """The recipe of a file for the stages of one training, which a recipe with phases is not.

    Raises:
        InputError: As `load_stage`; or the recipe has phases.
    """
    recipe = load_stage(path)
    if recipe.phases:
        raise InputError(
            f"{path}: phases: {', '.join(recipe.phases)}: a stage of its own is of one training; "
            "use `limbeck run`, or write what a phase needs into a recipe without phases"
        )
    return recipe


def override(section: SectionT, overrides: Sequence[str]) -> SectionT:
    """A section with `key.sub=value` changes, checked when all of them are made.

    Example:
        >>> from limbeck.config import Evaluate
        >>> override(Evaluate(), ["n_samples=8", "temperature=0.7"]).n_samples
        8
    """
    values: Any = section.model_dump(mode="json")
    for text in overrides:
        _put(values, *parse_override(text))
    return check(type(section), values)


def read(path: Path) -> tuple[Any, dict[Keys, str]]:
    """The mapping (or list of mappings) in a YAML file, and each path of keys' `file:line`.

    Raises:
        InputError: The file cannot be read, holds something else, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a recipe file that can be read") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not UTF-8 text"
        raise InputError(f"{path}{line}: not YAML: {problem}; mend the line") from None
    mappings = values if isinstance(values, list) else [values]
    if node is None or not mappings or not all(isinstance(each, dict) for each in mappings):
        raise InputError(f"{path}: no mapping of keys; begin with `method: pst`")
    return values, _lines(node, path)


def parse_override(text: str) -> tuple[Keys, Any]:
    """The path of keys and the value of `key.sub=value`.

    Raises:
        InputError: There is no `=`, no key before it, or no YAML value after it.

    Example:
        >>> parse_override("train.max_steps=20")
        (('train', 'max_steps'), 20)
    """
    key, equals, value = text.partition("=")
    keys = tuple(key.split("."))
    if not equals or not all(keys):
        raise InputError(f"{text!r}: not an override; write key.sub=value")
    try:
        return keys, yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"{text!r}: the value is no YAML; quote it") from None


def dump(recipes: Sequence[Recipe]) -> str:
    """The resolved recipes as YAML that `load` reads back."""
    values = [recipe.model_dump(mode="json") for recipe in recipes]
    return yaml.safe_dump(
        values[0] if len(values) == 1 else values, sort_keys=False, allow_unicode=True
    )


def _method(name: Any) -> Any:
    if name not in METHODS:
        raise RecipeError(("method",), f"there is no {name!r}; {suggest(str(name), METHODS)}")
    return METHODS[name]


def nest(keys: Keys, value: Any) -> dict[str, Any]:
    """A value under a path of keys, as mappings."""
    return {keys[0]: nest(keys[1:], value) if len(keys) > 1 else value}


def _replace(section: SectionT, keys: Keys, value: Any) -> SectionT:
    values: Any = section.model_dump(mode="json")
    _put(values, keys, value)
    return check(type(section), values)


def _put(values: Any, keys: Keys, value: Any) -> None:
    at = values
    for n, key in enumerate(keys):
        step: Any = key
        if isinstance(at, list):
            if not key.isdecimal() or int(key) >= len(at):
                raise RecipeError(keys[: n + 1], f"no such element; there are {len(at)}, from 0")
            step = int(key)
        elif not isinstance(at, Mapping):
            raise RecipeError(keys[: n + 1], "has no keys below it; shorten the override")
        if n + 1 == len(keys):
            at[step] = value
        else:
            if isinstance(at, dict) and at.get(step) is None:
                at[step] = {}  # a section that is left out by default
            at = at[step]


def _lines(node: yaml.Node, path: Path, above: Keys = ()) -> dict[Keys, str]:
    places: dict[Keys, str] = {}
    children: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(n), value, value) for n, value in enumerate(node.value)]
    for name, mark, value in children:
        keys = (*above, name)
        place = f"{path}:{mark.start_mark.line + 1}"
        if keys in places:
            raise InputError(f"{place}: {'.'.join(keys)}: given twice; keep one")
        places[keys] = place
        places.update(_lines(value, path, keys))
    return places


def place_of(keys: Keys, places: Mapping[Keys, str]) -> str:
    """`file:line: ` of a path of keys, or of what stands nearest above it; "" where none does."""
    for n in range(len(keys), 0, -1):
        if keys[:n] in places:
            return f"{places[keys[:n]]}: "
    return ""
