"""Rationale records become packed, span-labelled token rows: one call into Rust.

This module decides what a user left open (which files a glob means, where a tokenizer is, plain
text or chat) and hands the Rust core a complete configuration; the core does all of the work.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from limbeck import _native
from limbeck.config import Prepare, Recipe, TemplateSpec, Train
from limbeck.errors import InputError
from limbeck.filters import Contaminated, Filter
from limbeck.manifest import Counts, Manifest, SourceCounts, Steps
from limbeck.model import check_student
from limbeck.sources import Source

__all__ = [
    "Counts",
    "Manifest",
    "SourceCounts",
    "Steps",
    "expand",
    "few_steps",
    "prepare",
    "summary",
]

FEW_STEPS = 100
"""Packing is warned of where it leaves an epoch fewer optimizer steps than this."""

CONTROLS = {
    "{semantic}": "<|sem|>",
    "{answer_first}": "<|answer_first|>",
    "{think_first}": "<|think_first|>",
}
"""What a template writes for a token that a method adds, and the token."""
QUESTION_ONLY = "question-only"
"""The template of unlabelled questions, where the recipe has none without a completion."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",  # says whether it is a student that can be trained
)


def prepare(
    paths: str | Path | Source | Sequence[str | Path | Source],
    *,
    tokenizer: str | Path,
    output_dir: str | Path,
    recipe: Recipe | Prepare | str | None = None,
    keep_rationale: bool | None = None,
    validation: float | None = None,
    overwrite: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    threads: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Manifest:
    """Turn rationale records into a directory that `datasets.load_from_disk` opens.

    Args:
        paths: Files of records (docs/records.md), globs, or `-` for standard input; a `Source`
            where there is more to say of one.
        tokenizer: A `tokenizer.json`, a directory with one, or a name on the hub.
        output_dir: The directory to publish, complete or not at all.
        recipe: A recipe, its `prepare` section, or a method's name; None takes the defaults.
        keep_rationale: Store the rationales' texts, which targets are made of; None does what the
            recipe needs.
        validation: Share of the questions to hold out, in `validation.jsonl` of the directory; None
            takes the recipe's `data.validation`. Records of the split `validation` always are.
        overwrite: Replace an earlier preparation at `output_dir`.
        strict: Stop at the first malformed record instead of rejecting it.
        dry_run: Count, and write nothing; that nothing would be kept is no error then.
        threads: Threads that work on records; 0 takes all cores. The output does not depend on it.
        progress: Called with input bytes done, input bytes in all (0: unknown), and a text.

    Raises:
        InputError: Paths, tokenizer or settings are at fault, or no record is kept.
        OSError: The system refused to read or write.

    Example:
        >>> from limbeck import prepare
        >>> prepare("records.jsonl", tokenizer="gpt2", output_dir="out/prepared")  # doctest: +SKIP
    """
    given = [paths] if isinstance(paths, str | Path | Source) else paths
    sources = [each if isinstance(each, Source) else Source(path=str(each)) for each in given]
    if validation is None:
        validation = recipe.data.validation if isinstance(recipe, Recipe) else 0.0
    section, needed = _settings(recipe, tokenizer=str(tokenizer), sources=sources)
    directory = resolve_tokenizer(str(tokenizer))
    check_student(directory)
    config = native_config(
        section,
        inputs=expand(sources),
        tokenizer=directory,
        output_dir=Path(output_dir),
        keep_rationale=needed if keep_rationale is None else keep_rationale,
        validation=validation,
    )
    config |= {"overwrite": overwrite, "strict": strict, "dry_run": dry_run, "threads": threads}
    text = _native.prepare(json.dumps(config), _adapt(progress) if progress else None)
    return Manifest(path=None if dry_run else Path(output_dir), **json.loads(text))


def expand(sources: Sequence[Source]) -> list[Source]:
    """The files that `sources` mean, one source each: globs opened, in order of their names.

    Args:
        sources: Files, globs, directories of `datasets.save_to_disk`, or `-`.

    Raises:
        InputError: There is none, a glob matches nothing, or a directory is no saved data set.

    Example:
        >>> [source.path for source in expand([Source(path="-"), Source(path="records.jsonl")])]
        ['-', 'records.jsonl']
    """
    files: list[Source] = []
    for source in sources:
        path = source.path
        plain = path == "-" or not glob.has_magic(path) or Path(path).exists()
        found = [path] if plain else sorted(glob.glob(path, recursive=True))
        found = [file for each in found for file in _shards(each)]
        if not found:
            raise InputError(f"{path}: no file matches; check the pattern")
        files += [source.model_copy(update={"path": file}) for file in found]
    if not files:
        raise InputError("paths: there are none; name files of records")
    return files


def _shards(path: str) -> list[str]:
    """The files of a data set that was saved to the directory `path`; any other path itself."""
    directory = Path(path)
    state = directory / "state.json"
    if (directory / "dataset_dict.json").is_file():
        raise InputError(f"{path}: holds several splits; name the directory of one")
    if not state.is_file():
        return [path]
    try:
        files = json.loads(state.read_text("utf-8"))["_data_files"]
        return [str(directory / file["filename"]) for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{state}: no state of a saved data set ({error}); save it again"
        ) from None


def native_config(
    section: Prepare,
    *,
    inputs: Sequence[Source],
    tokenizer: Path,
    output_dir: Path,
    keep_rationale: bool,
    validation: float = 0.0,
) -> dict[str, Any]:
    """The configuration of the Rust core, every choice made; JSON values.

    Args:
        section: The recipe's `prepare` section.
        inputs: One for each file; no globs.
        tokenizer: A local tokenizer.
        output_dir: The directory to publish.
        keep_rationale: Whether to store the rationales' texts.
        validation: Share of the questions to hold out.

    Raises:
        InputError: The template or the style does not exist for this tokenizer.
    """
    from limbeck import __version__

    style = _style(section.style, tokenizer)
    first, *others = (_template(each, style) for each in section.templates)
    if any(not source.labelled for source in inputs) and all(each.completion for each in others):
        # The prompt of the others, lest it tell by itself which domain a question is of.
        others.append(TemplateSpec(name=QUESTION_ONLY, prompt=first.prompt, completion=""))
    written = "".join(each.completion for each in (first, *others))
    settings = section.model_dump(mode="json", exclude={"template", "style"})
    settings["seed"] = section.seed or 0
    settings["filters"] = [_filter(entry) for entry in section.filters]
    render = {
        "template": first.model_dump(),
        "more_templates": [each.model_dump() for each in others],
        "style": style,
        "chat_template": None,
        "chat_variables": settings.pop("chat_variables"),
        "eos_token": settings.pop("eos_token"),
        "soft_prompt": settings.pop("soft_prompt"),
        "added_tokens": [token for control, token in CONTROLS.items() if control in written],
    }
    decided = {
        **settings,
        "render": render,
        "keep_rationale": keep_rationale,
        "validation": validation,
    }
    canonical = json.dumps(decided, sort_keys=True, ensure_ascii=False)
    return {
        **decided,
        "inputs": [source.model_dump() for source in inputs],
        "tokenizer": str(tokenizer),
        "output_dir": str(output_dir),
        "recipe_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "versions": {"limbeck": __version__},
    }


def resolve_tokenizer(name: str) -> Path:
    """Where a tokenizer's files are; those of a hub name are fetched if need be.

    Args:
        name: A `tokenizer.json`, a directory with one, or a name on the hub.

    Raises:
        InputError: It is neither here nor on the hub, or it has no `tokenizer.json`.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if not path.exists():
        if path.suffix == ".json" or name.startswith((".", "/", "~")):
            raise InputError(f"{name}: no such tokenizer; check the path")
        path = _from_hub(name)
    if not (path / "tokenizer.json").is_file():
        raise InputError(
            f"{name}: has no tokenizer.json; save it with a fast tokenizer's `save_pretrained`"
        )
    return path


def summary(manifest: Manifest) -> str:
    """The manifest in a few lines, for people.

    Args:
        manifest: What `prepare` returned.
    """
    records, steps = manifest.records, manifest.steps
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in records.rejected.items())
    kinds = ", ".join(
        f"{kind} {count:,}"
        for kind, count in manifest.tokens.items()
        if kind != "total" and count > 0
    )
    lines = [
        f"kept {records.kept:,} of {records.read:,} candidates"
        + (f"; rejected: {reasons}" if reasons else ""),
        f"{manifest.tokens['total']:,} tokens: {kinds}",
        f"{manifest.rows:,} rows of {manifest.max_length:,}, {manifest.fill:.1%} full",
        f"steps of an epoch at batch size 1: {steps.packed:,} packed, {steps.unpacked:,} unpacked",
    ]
    if manifest.stored_tokens:
        lines.insert(2, sharing(manifest.tokens["total"], manifest.stored_tokens))
    if records.unverified:
        lines.insert(1, f"{records.unverified:,} of the kept state no conclusion to verify")
    if records.held_out:
        lines.insert(1, f"{records.held_out:,} records held out for validation")
    if records.other_split:
        lines.insert(1, f"{records.other_split:,} records of other splits left alone")
    lines.append(f"prepared: {manifest.path}" if manifest.path else "dry run: nothing written")
    return "\n".join(lines)


def sharing(tokens: int, stored_tokens: int) -> str:
    """What sharing prompts saves, for people.

    Args:
        tokens: Tokens of the examples as separate sequences.
        stored_tokens: Tokens in the rows.

    Example:
        >>> sharing(9_000, 2_000)
        '2,000 of them in the rows, where prompts are shared: 4.5 times fewer to compute'
        >>> sharing(9_000, 9_000)
        'no two examples of a window have one prompt: `packing: trie` saves nothing'
    """
    if stored_tokens == tokens:
        return "no two examples of a window have one prompt: `packing: trie` saves nothing"
    return (
        f"{stored_tokens:,} of them in the rows, where prompts are shared: "
        f"{tokens / stored_tokens:.1f} times fewer to compute"
    )


def few_steps(steps: Steps, train: Train) -> str | None:
    """A warning where packing leaves too few optimizer steps, else None.

    That is where an epoch has fewer than `FEW_STEPS`, and at most half of what it would have with
    one example a row: the same epochs then train far less than the user may think.

    Args:
        steps: Those of the manifest, at batch size 1.
        train: The recipe's section, which says the batch size and how many are accumulated.

    Example:
        >>> text = few_steps(Steps(packed=400, unpacked=4000), Train(per_device_train_batch_size=8))
        >>> text.partition(":")[0]
        'packing leaves 50 optimizer steps an epoch instead of 500'
        >>> few_steps(Steps(packed=40_000, unpacked=400_000), Train())
    """
    arguments = train.arguments
    batch = int(arguments.get("per_device_train_batch_size", 8))  # transformers' defaults
    batch *= int(arguments.get("gradient_accumulation_steps", 1))
    packed, unpacked = -(-steps.packed // batch), -(-steps.unpacked // batch)
    if packed >= FEW_STEPS or unpacked < 2 * packed:
        return None
    return (
        f"packing leaves {packed:,} optimizer steps an epoch instead of {unpacked:,}: a small set "
        "may train worse; lower prepare.max_length or the batch, raise train.num_train_epochs, or "
        f"set `packing: none` (batches of {batch} on one device)"
    )


def _settings(
    recipe: Recipe | Prepare | str | None, *, tokenizer: str, sources: Sequence[Source]
) -> tuple[Prepare, bool]:
    """The section that applies, and whether the recipe needs the rationales' texts."""
    if isinstance(recipe, str):
        from limbeck.config import suggest
        from limbeck.recipes import METHODS

        if recipe not in METHODS:
            raise InputError(f"method: there is no {recipe!r}; {suggest(recipe, METHODS)}")
        recipe = METHODS[recipe](student=tokenizer, data={"paths": sources})
    if isinstance(recipe, Recipe):
        section = recipe.prepare
        if section.seed is None:
            section = section.model_copy(update={"seed": recipe.seed})
        return section, recipe.needs_targets
    return recipe or Prepare(), False


def _filter(entry: Filter) -> dict[str, Any]:
    """A filter as the core takes it; what it reads are files, not globs."""
    options = entry.model_dump(mode="json")
    if isinstance(entry, Contaminated):
        sources = [Source(path=path) for path in entry.against]
        options["against"] = [source.path for source in expand(sources)]
    return options


def _template(template: str | TemplateSpec, style: Literal["plain", "chat"]) -> TemplateSpec:
    if isinstance(template, TemplateSpec):
        return template
    from limbeck.recipes.templates import template as built_in

    return built_in(template, style)


def _style(style: Literal["auto", "plain", "chat"], tokenizer: Path) -> Literal["plain", "chat"]:
    if style == "auto":
        return "chat" if _has_chat_template(tokenizer) else "plain"
    return style


def _has_chat_template(tokenizer: Path) -> bool:
    directory = tokenizer if tokenizer.is_dir() else tokenizer.parent
    if (directory / "chat_template.jinja").is_file():
        return True
    config = directory / "tokenizer_config.json"
    if not config.is_file():
        return False
    try:
        return bool(json.loads(config.read_text("utf-8")).get("chat_template"))
    except (ValueError, AttributeError) as error:
        raise InputError(f"{config}: not a JSON object ({error}); mend it") from None


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(TOKENIZER_FILES)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name}: neither a local tokenizer nor to be had from the hub ({reason}); "
            "check the name, or give a directory that holds it"
        ) from error


def _adapt(progress: Callable[[int, int, str], None]) -> Callable[[str], None]:
    def on_progress(text: str) -> None:
        state = json.loads(text)
        counts = f"{state['kept']:,} kept, {state['rejected']:,} rejected"
        progress(state["bytes"], state["total_bytes"], counts)

    return on_progress
