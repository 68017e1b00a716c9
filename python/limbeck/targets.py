"""Targets: the states of gold rationales under a frozen encoder, computed once and kept on disk.

limbeck targets PREPARED …, the `targets` stage of `limbeck run`, or `targets(prepared, student=…)`.
They depend on the data alone and no gradient reaches them, so training only reads them. What was
computed is known by its content: a run that was cut off goes on, one that finds every rationale
already there loads no encoder, and one with new records reads those alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from limbeck.config import Targets
    from limbeck.encoder import Encoder
    from limbeck.rationales import Rationales
    from limbeck.target_store import KnownStates
    from limbeck.target_writer import TargetLayout, TargetWriter

Progress = Callable[[int, int, str], None]

_COPIED_AT_ONCE = 1024


def targets(
    prepared: str | Path,
    *,
    student: str | Path,
    output_dir: str | Path,
    settings: Targets,
    seed: int = 0,
    reuse: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> Path:
    """Write the states of every distinct rationale of a prepared directory.

    Args:
        prepared: Prepared data that keeps its rationales.
        student: The starting student, the encoder where `settings.encoder` is `student`.
        output_dir: Where `targets.safetensors` and `targets.json` go. What stands there already,
            finished or cut off, is not computed again.
        settings: Encoder, layer, pooling, control, batch size, length and dtype.
        seed: Draws the permutation of `control: permuted`.
        reuse: Other targets' directories, whose states are copied where they are the same.
        progress: Told rationales done, rationales in all, and size on disk, with the time that is
            left once the first batches have shown it.

    Returns:
        `output_dir`.

    Raises:
        InputError: The encoder is untrained, cannot be loaded, or does not fit the settings; the
            prepared data keep no rationales; or the disk has no room.
    """
    from limbeck.encoder import Encoder
    from limbeck.model import is_untrained
    from limbeck.rationales import TextRationales, TokenRationales
    from limbeck.target_store import find_states
    from limbeck.target_writer import writing

    prepared, output_dir = Path(prepared), Path(output_dir)
    name = str(student) if settings.encoder == "student" else settings.encoder
    if is_untrained(name):
        raise untrained(name)
    encoder = Encoder(name, settings)
    kind = TokenRationales if encoder.pooling == "token" else TextRationales
    rationales = kind(prepared, encoder)
    identity = {**encoder.identity(), "dtype": settings.dtype}
    known = find_states([output_dir, *map(Path, reuse)], identity, rationales.keys)
    order = known.order(-rationales.lengths)
    index, control = _controlled(rationales, order, prepared, settings, seed)
    layout = _layout(
        rationales, order, index, width=encoder.width, identity=identity, prepared=prepared
    )

    size = len(layout.head()) + layout.states_bytes
    text = f"{len(order)} rationales × {encoder.width} {settings.dtype}, {size / 1e6:.1f} MB"
    if encoder.pooling == "token":
        text = f"{rationales.states.sum()} tokens of {text}"
    report = progress or (lambda _done, _total, _text: None)
    report(0, len(order), text)
    with writing(output_dir, layout) as writer:
        _copy(writer, known, order)
        _encode(writer, encoder, rationales, order, settings.batch_size, report, text)
        if settings.control == "constant" and writer.done == len(order):
            writer.append(_mean(writer, rationales, order), 1)
    summary = {
        "encoder": name,
        "layer": settings.layer,
        "pooling": encoder.pooling,
        **control,
        "dtype": settings.dtype,
        "hidden_size": encoder.width,
        "count": len(order),
        "states": int(rationales.states.sum()),
        "examples": len(rationales.index),
        "truncated": rationales.truncated,
        "tokens_encoded": int(rationales.lengths.sum()),
        "bytes": size,
    }
    (output_dir / "targets.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return output_dir


def untrained(name: str) -> InputError:
    """What is said of an encoder that was made from a config and never trained."""
    return InputError(
        f"targets.encoder: {name} was never trained, its states mean nothing; name a trained "
        "one: a think-first student, the teacher, or a sentence encoder"
    )


def _controlled(
    rationales: Rationales,
    order: NDArray[np.int64],
    prepared: Path,
    settings: Targets,
    seed: int,
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return which of the ordered rationales each example is aligned to, and what is said of it."""
    import numpy as np

    from limbeck.target_control import is_own, permuted, read_records

    said: dict[str, Any] = {"control": settings.control}
    if settings.control == "constant":  # the mean stands behind the others
        return np.full(len(rationales.index), len(order)), said
    takes = np.arange(len(rationales.index))
    if settings.control == "permuted":
        records = read_records(prepared)
        takes = permuted(rationales.index, records, seed)
        own = is_own(rationales.index, records, takes)
        said |= {"control_seed": seed, "control_unmoved": int(own.sum())}
    return np.argsort(order)[rationales.index[takes]], said


def _layout(
    rationales: Rationales,
    order: NDArray[np.int64],
    index: NDArray[np.int64],
    *,
    width: int,
    identity: dict[str, Any],
    prepared: Path,
) -> TargetLayout:
    import numpy as np

    from limbeck.arrow import fingerprint
    from limbeck.target_writer import TargetLayout

    states, keys = rationales.states[order], rationales.keys[order]
    if len(index) and index[0] == len(order):
        states, keys = np.append(states, 1), np.append(keys, np.zeros_like(keys[:1]), axis=0)
    return TargetLayout(
        starts=np.append(0, np.cumsum(states)),
        keys=keys,
        index=index,
        example_ids=rationales.example_ids,
        width=width,
        dtype=identity["dtype"],
        identity=identity,
        prepared=fingerprint(prepared),
    )


def _copy(writer: TargetWriter, known: KnownStates, order: NDArray[np.int64]) -> None:
    """Append what an earlier file holds; it comes first."""
    import torch

    while writer.done < known.count:
        rows = order[writer.done : min(writer.done + _COPIED_AT_ONCE, known.count)]
        writer.append(torch.cat([known.states(row) for row in rows]), len(rows))


def _encode(
    writer: TargetWriter,
    encoder: Encoder,
    rationales: Rationales,
    order: NDArray[np.int64],
    batch_size: int,
    report: Progress,
    text: str,
) -> None:
    """Append what no earlier file holds."""
    left = int(rationales.lengths[order[writer.done :]].sum())
    began, measured = 0.0, 0
    while writer.done < len(order):
        rows = order[writer.done : writer.done + batch_size]
        writer.append(encoder.states(rationales.passages(rows)), len(rows))
        tokens = int(rationales.lengths[rows].sum())
        left -= tokens
        if began:
            measured += tokens
            seconds = (time.perf_counter() - began) * left / max(measured, 1)
            report(writer.done, len(order), f"{text}, about {seconds:.0f} s left")
        else:  # the first batch also loads the weights and warms up
            began = time.perf_counter()
            report(writer.done, len(order), text)


def _mean(writer: TargetWriter, rationales: Rationales, order: NDArray[np.int64]) -> Tensor:
    """Return the mean target of all examples, `[1, D]`."""
    import numpy as np
    import torch

    weights = torch.from_numpy(np.bincount(rationales.index, minlength=len(order))[order])
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(order), _COPIED_AT_ONCE):
        chunk = slice(start, min(start + _COPIED_AT_ONCE, len(order)))
        states = writer.read(chunk.start, chunk.stop).double()
        total = total + weights[chunk].double() @ states
    return (total / weights.sum())[None]
