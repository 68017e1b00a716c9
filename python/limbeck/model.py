"""Students: loaded from a checkpoint or made from a config, fitted to a tokenizer, and saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from limbeck.config import StudentSpec

INFO_FILE = "limbeck.json"
FORMAT = 1


def check_student(student: str | Path | StudentSpec) -> None:
    """Refuse a student that packed rows cannot train, as far as its config is here to tell.

    Args:
        student: A local directory, a hub name (which is left to `load_student`), or what a student
            is made from.

    Raises:
        InputError: It is an encoder-decoder, or its config is damaged.
    """
    if isinstance(student, str | Path):
        config = _read_config(Path(student))
        if config.get("is_encoder_decoder"):
            raise encoder_decoder(f"student: {student}", config.get("model_type"))
        return
    from transformers import CONFIG_MAPPING

    kind = str(student.config.get("model_type"))
    if kind in CONFIG_MAPPING and getattr(CONFIG_MAPPING[kind], "is_encoder_decoder", False):
        raise encoder_decoder("student.config", kind)


def _read_config(directory: Path) -> dict[str, Any]:
    """Read a checkpoint's `config.json`; empty where there is none."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: not a JSON object; restore the file")
    return config


def encoder_decoder(place: str, model_type: Any) -> InputError:
    """What is said of a student that is an encoder-decoder."""
    return InputError(
        f"{place}: {model_type} is an encoder-decoder, which reads the question apart from what "
        "it writes; prepared rows are single sequences of packed examples, for decoder-only "
        "students; take a causal language model (an encoder-decoder can be targets.encoder)"
    )


def load_student(
    name: str | Path, *, tokenizer_length: int, dtype: torch.dtype | str
) -> PreTrainedModel:
    """Load a causal language model with a row for every token of the prepared tokenizer.

    A vocabulary that is padded beyond its tokenizer stays as it is: shrinking would cut rows that
    the checkpoint's other users expect. New rows are drawn around the mean of the old ones, so
    that a new token starts out as likely as any other and not, as with small random rows, more
    likely than all of them.

    Args:
        name: A local directory or a hub name.
        tokenizer_length: `len(tokenizer)`.
        dtype: Of the weights.

    Raises:
        InputError: There is no such causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet():
        try:
            config = AutoConfig.from_pretrained(str(name))
            if config.is_encoder_decoder:  # of some, transformers would load the decoder alone
                raise encoder_decoder(f"student: {name}", config.model_type)
            model = AutoModelForCausalLM.from_pretrained(str(name), dtype=dtype)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"student: {name}: cannot be loaded as a causal language model: {error}; give a "
                "local directory or a hub name"
            ) from error
        embedding: Any = model.get_input_embeddings()
        if tokenizer_length > embedding.weight.shape[0]:
            model.resize_token_embeddings(tokenizer_length)
    return model


ADAPTER_FILE = "adapter_config.json"


def is_adapter(directory: str | Path) -> bool:
    """Whether a student's directory holds an adapter, and no whole model."""
    return (Path(directory) / ADAPTER_FILE).is_file()


def load_trained(directory: str | Path, *, tokenizer_length: int, dtype: torch.dtype | str) -> Any:
    """Load the model of a student's directory, an adapter merged into its base.

    Args:
        directory: What `train` wrote.
        tokenizer_length: `len(tokenizer)`.
        dtype: Of the weights.

    Raises:
        InputError: There is no such causal language model, or PEFT is missing for an adapter.
    """
    if not is_adapter(directory):
        return load_student(directory, tokenizer_length=tokenizer_length, dtype=dtype)
    adapted = load_adapter(directory, tokenizer_length=tokenizer_length, dtype=dtype)
    return adapted.merge_and_unload()


def load_adapter(
    directory: str | Path,
    *,
    tokenizer_length: int,
    dtype: torch.dtype | str,
    is_trainable: bool = False,
) -> Any:
    """Load an adapter around its base.

    Args:
        directory: What `train` wrote with `merge_adapter: false`.
        tokenizer_length: `len(tokenizer)`.
        dtype: Of the base's weights.
        is_trainable: Whether training goes on from it.

    Raises:
        InputError: PEFT is missing, or the base is not where it was.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise InputError(
            f"student: {directory}: an adapter needs PEFT; install `limbeck[peft]`"
        ) from error
    # Not through transformers, which would not give the base the rows of the added tokens.
    settings = json.loads((Path(directory) / ADAPTER_FILE).read_text("utf-8"))
    base = settings["base_model_name_or_path"]
    model: Any = load_student(base, tokenizer_length=tokenizer_length, dtype=dtype)
    return PeftModel.from_pretrained(model, directory, is_trainable=is_trainable)


def save_answering(
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    info: Mapping[str, Any],
    stop_ids: Sequence[int],
) -> None:
    """Write what a student's directory says of how it answers, without the weights.

    Args:
        tokenizer: The tokenizer it is trained with.
        directory: Where to; made if missing.
        info: What `limbeck.json` says beside `format`.
        stop_ids: Token ids that end an answer.
    """
    from transformers import GenerationConfig

    directory.mkdir(parents=True, exist_ok=True)
    with quiet():
        tokenizer.save_pretrained(directory)
    GenerationConfig(eos_token_id=list(stop_ids)).save_pretrained(directory)
    _write_info(directory, info)


def save_student(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    info: Mapping[str, Any],
    stop_ids: Sequence[int],
) -> None:
    """Write an ordinary checkpoint, and beside it `limbeck.json`.

    Args:
        model: The student, or a PEFT model around it to be saved as an adapter.
        tokenizer: The tokenizer it was trained with.
        directory: Where to; made if missing.
        info: What `limbeck.json` says beside `format`.
        stop_ids: Token ids that end an answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = model.generation_config
    config.eos_token_id = list(stop_ids)
    config.pad_token_id = stop_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    model.config.use_cache = True  # training switched it off
    with quiet():
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    if not (directory / "generation_config.json").is_file():  # adapters leave it to their base
        config.save_pretrained(directory)
    _write_info(directory, info)


def _write_info(directory: Path, info: Mapping[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, **info}, indent=2, ensure_ascii=False)
    (directory / INFO_FILE).write_text(text + "\n", "utf-8")


def is_untrained(model_dir: str | Path) -> bool:
    """Whether a directory holds a student that was made from a config and never trained."""
    try:
        info = json.loads((Path(model_dir) / INFO_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return False
    except ValueError as error:
        raise InputError(f"{Path(model_dir) / INFO_FILE}: not JSON; restore the file") from error
    return bool(info.get("untrained", False))


def create_student(
    spec: StudentSpec,
    records: Sequence[Path],
    output_dir: Path,
    *,
    seed: int,
    texts: Sequence[str] = (),
) -> Path:
    """Make a student from nothing: a tokenizer for the records' words and random weights.

    Args:
        spec: The transformers config and the tokenizer's size.
        records: Record files (JSON lines) whose words the tokenizer takes whole.
        output_dir: Where the checkpoint goes.
        seed: Draws the weights.
        texts: Others whose words it takes whole, as those of prompts.

    Returns:
        `output_dir`.

    Raises:
        InputError: The config is none of transformers', or a record file is not JSON lines.

    Example:
        >>> import tempfile
        >>> from limbeck.config import StudentSpec
        >>> record = '{"question": "1 + 1?", "rationale": "1 + 1 = 2", "answer": "2"}'
        >>> sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        ...          "num_attention_heads": 2}
        >>> spec = StudentSpec(config={"model_type": "llama", **sizes})
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = Path(directory, "records.jsonl")
        ...     _ = path.write_text(record)
        ...     is_untrained(create_student(spec, [path], Path(directory, "base"), seed=0))
        True
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    from limbeck.word_tokenizer import OFTEN, record_texts, train_tokenizer

    known = chain(record_texts(records), *([text] * OFTEN for text in texts))
    tokenizer = train_tokenizer(known, spec.tokenizer.vocab_size)
    values = dict(spec.config)
    model_type = values.pop("model_type", None)
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for key in ids.keys() & values.keys():
        raise InputError(f"student.config.{key}: the tokenizer decides it; take it out")
    try:
        config = AutoConfig.for_model(model_type, **values, **ids)
        if config.is_encoder_decoder:
            raise encoder_decoder("student.config", model_type)
        set_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    except InputError:
        raise
    except (ValueError, TypeError, ArithmeticError, StrictDataclassError) as error:
        raise InputError(
            f"student.config: transformers makes no causal language model of it: {error}; start "
            "from the config.json of one you know"
        ) from error
    save_student(
        model, tokenizer, output_dir, info={"untrained": True}, stop_ids=[tokenizer.eos_token_id]
    )
    return output_dir


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own progress bars and advice off the terminal."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
