"""What most people run: TRL's SFTTrainer prepares a prompt-completion data set, best fit packed.

The trainer is the real one, on a model of a few thousand parameters; nothing is trained.
`--filtered` puts the usual chain of `datasets.filter` and datasketch before it.

    python trl_sft.py CORPUS TOKENIZER OUT --threads 2 [--filtered]
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

MAX_LENGTH = 2048


def render(record):
    return {
        "prompt": f"Question: {record['question'].strip()}\nAnswer:",
        "completion": (
            f" {record['rationale'].strip()}\nThe answer is {record['answer'].strip()}."
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--filtered", action="store_true")
    arguments = parser.parse_args()
    # A cache of an earlier run would be timed otherwise.
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HF_DATASETS_CACHE"] = cache
        os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
        prepare(arguments)


def prepare(arguments):
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import SFTConfig, SFTTrainer

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(arguments.tokenizer), eos_token="<|endoftext|>"
    )
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=1, num_key_value_heads=1,
        )
    )  # fmt: skip
    processes = arguments.threads if arguments.threads > 1 else None
    dataset = Dataset.from_json(str(arguments.corpus))
    if arguments.filtered:
        from chain import usual

        dataset = usual(dataset, processes)
    size = sum(
        len(text.encode()) for field in ("question", "rationale", "answer")
        for text in dataset[field]
    )  # fmt: skip
    records = len(dataset)
    dataset = dataset.map(render, remove_columns=dataset.column_names, num_proc=processes)
    with tempfile.TemporaryDirectory() as directory:
        settings = SFTConfig(
            output_dir=directory, max_length=MAX_LENGTH, packing=True, packing_strategy="bfd",
            completion_only_loss=True, dataset_num_proc=processes, report_to="none",
            use_cpu=True, bf16=False, padding_free=True,
        )  # fmt: skip
        trainer = SFTTrainer(
            model=model, args=settings, train_dataset=dataset, processing_class=tokenizer
        )
    trainer.train_dataset.save_to_disk(str(arguments.out))
    print(json.dumps({"records": records, "bytes": size}))


if __name__ == "__main__":
    main()
