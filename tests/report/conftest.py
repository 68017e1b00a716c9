"""A run of several methods as the stages leave it: real formats, made-up numbers."""

import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from limbeck.report import report

KINDS = ("prompt", "question", "answer", "rationale", "semantic", "soft_prompt", "end", "gate")
MAX_LENGTH = 256
STEPS = 600
TASKS = {"arithmetic": 0.115, "coin_flip": 0.5, "last_letters": 0.02, "shuffled_objects": 0.345}
SKILL = {  # accuracy by method, in the order of the tasks
    "answer_only": (0.67, 1.0, 1.0, 0.31),
    "think_first": (1.0, 0.99, 0.995, 0.78),
    "pst": (0.85, 1.0, 1.0, 0.34),
}
TEMPLATES = {"answer_only": "answer-only", "think_first": "think-first", "pst": "answer-first"}
WEIGHTS = {
    "answer_only": {"answer": 1.0, "end": 1.0},
    "think_first": {"rationale": 1.0, "answer": 1.0, "end": 1.0},
    "pst": {"answer": 1.0, "semantic": 1.0, "end": 1.0, "rationale": 0.5},
}
VOTE = {
    "samples": 3, "accuracy": 0.9143, "low": 0.8511, "high": 0.9522,
    "votes": 24, "correct": 22, "tokens_per_vote": 87.6,
}  # fmt: skip
NAMES = ("Ada", "Bao", "Cléo", "Dmitri", "Eve", "Farid")


@dataclass
class Record:
    id: str
    question: str
    answer: str
    rationale: str
    line: int
    domain: int = 0


@dataclass
class Fake:
    """What a run says; tests change it before it is written."""

    methods: tuple[str, ...] = ("answer_only", "think_first", "pst")
    tasks: dict[str, float] = field(default_factory=lambda: dict(TASKS))
    questions: int = 200
    samples: int = 1
    vote: bool = False
    title: str = "limbeck"
    generations: int = 4
    source: str = "records.jsonl"
    student: object = field(
        default_factory=lambda: {
            "config": {"model_type": "llama", "hidden_size": 96, "num_hidden_layers": 2},
            "tokenizer": {"vocab_size": 512},
        }
    )
    records: list[Record] = field(default_factory=lambda: make_records(400))
    generation: str | None = None

    def write(self, root: Path) -> Path:
        root.mkdir(parents=True)
        (root / "recipe.yaml").write_text(self.recipe(), "utf-8")
        teach = root / "teach"
        teach.mkdir()
        lines = [json.dumps({"question": each.question}) for each in self.records]
        (teach / "records.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        for n, method in enumerate(self.methods):
            at = root / method if len(self.methods) > 1 else root
            write_prepared(at / "prepared", self.records, TEMPLATES[method], self.source)
            if method == "pst":
                (at / "targets").mkdir()
            write_student(at / "student", method, n)
            self.write_evaluation(at / "evaluate", method, n)
        return root

    def recipe(self) -> str:
        recipes = [
            {
                "method": method,
                "student": self.student,
                "output_dir": "out/demo",
                "seed": 0,
                "data": {"tasks": list(self.tasks), "examples": 6000},
                "prepare": {"template": TEMPLATES[method], "max_length": MAX_LENGTH},
                "train": {
                    "objectives": [
                        {"name": "cross_entropy", "span_weights": WEIGHTS[method]},
                        *([{"name": "semantic_alignment"}] if method == "pst" else []),
                    ],
                    "learning_rate": 1.5e-3,
                    "per_device_train_batch_size": 2,
                },
                "evaluate": {"tasks": list(self.tasks), "questions": self.questions},
                "report": {"title": self.title, "generations": self.generations},
            }
            for method in self.methods
        ]
        return yaml.safe_dump(recipes if len(recipes) > 1 else recipes[0], sort_keys=False)

    def write_evaluation(self, path: Path, method: str, seed: int) -> None:
        path.mkdir(parents=True)
        chooser = random.Random(seed)
        rows, tasks = [], {}
        for skill, (task, chance) in zip(SKILL[method], self.tasks.items(), strict=False):
            right, tokens = 0, 0
            for n in range(self.questions):
                record = self.records[n % len(self.records)]
                for sample in range(self.samples):
                    correct = chooser.random() < skill
                    answer = record.answer if correct else str(chooser.randrange(90))
                    text = self.generation or say(method, record, answer)
                    right, tokens = right + correct, tokens + 4 + len(text) // 5
                    rows.append(
                        {
                            "task": task,
                            "id": f"{task}-{n}",
                            "question": record.question,
                            "prompt": f"Question: {record.question}\nAnswer:",
                            "prompt_tokens": 12,
                            "gold": record.answer,
                            "sample": sample,
                            "seed": seed,
                            "way": TEMPLATES[method],
                            "text": text,
                            "answer": answer,
                            "correct": correct,
                            "tokens_generated": 4 + len(text) // 5,
                        }
                    )
            answers = self.questions * self.samples
            accuracy = right / answers
            low, high = wilson(accuracy, answers)
            tasks[task] = {
                "accuracy": accuracy,
                "low": low,
                "high": high,
                "questions": self.questions,
                "groups": self.questions,
                "samples": answers,
                "correct": right,
                "chance": chance,
                "tokens_per_answer": tokens / answers,
                "prompt_tokens_per_answer": 12.0,
                "answered": 0.985,
                "ways": {
                    TEMPLATES[method]: {
                        "answers": answers,
                        "correct": right,
                        "tokens_per_answer": tokens / answers,
                    }
                },
                "vote": VOTE if self.vote else None,
            }
        write_lines(path / "results.jsonl", rows)
        summary = {
            "student": "student",
            "method": method,
            "decoding": {
                "order": TEMPLATES[method],
                "temperature": 0.0,
                "top_p": 1.0,
                "max_new_tokens": 64,
            },
            "seed": 0,
            "split": "test",
            "tasks": tasks,
            "validation": {
                name: found | {"accuracy": 0.7531, "questions": 40}
                for name, found in tasks.items()
                if name == "arithmetic"
            },
        }
        (path / "summary.json").write_text(json.dumps(summary), "utf-8")


def make_records(count: int) -> list[Record]:
    chooser = random.Random(7)
    records = []
    for n in range(count):
        name, start = chooser.choice(NAMES), chooser.randrange(3, 60)
        steps = [chooser.randrange(1, 30) for _ in range(chooser.randrange(1, 5))]
        totals = np.cumsum([start, *steps]).tolist()
        story = " ".join(f"Then {name} finds {step} more." for step in steps)
        sums = "\n".join(
            f"{a} + {step} = {b}." for a, step, b in zip(totals, steps, totals[1:], strict=False)
        )
        question = f"{name} has {start} apples. {story} How many apples does {name} have?"
        records.append(Record(f"sum-{n}", question, str(totals[-1]), sums, n + 1, n % 2))
    return records


def say(method: str, record: Record, answer: str) -> str:
    return {
        "answer_only": f" {answer}",
        "think_first": f" {record.rationale}\nThe answer is {answer}.",
        "pst": f" {answer}",
    }[method]


def segments(template: str, record: Record) -> list[tuple[str, str]]:
    prompt = [("prompt", "Question:"), ("question", f" {record.question}"), ("prompt", "\nAnswer:")]
    rationale = ("rationale", f"\n{record.rationale}")
    answer = ("answer", f" {record.answer}")
    return (
        prompt
        + {
            "answer-only": [answer],
            "think-first": [rationale, ("answer", f"\nThe answer is {record.answer}.")],
            "answer-first": [answer, ("semantic", "<|sem|>"), rationale],
        }[template]
        + [("end", "<|endoftext|>")]
    )


def make_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|sem|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for each in make_records(200) for text in (each.question, each.rationale)]
    tokenizer.train_from_iterator(texts, trainer)
    path.mkdir(parents=True)
    tokenizer.save(str(path / "tokenizer.json"))
    return tokenizer


def write_prepared(path: Path, records: list[Record], template: str, source: str) -> None:
    tokenizer = make_tokenizer(path / "tokenizer")
    rows: list[dict[str, list[int]]] = []
    kept = [n for n in range(len(records)) if n % 25 != 24]
    counts: Counter[str] = Counter()
    for n in kept:
        ids, kinds = [], []
        for kind, text in segments(template, records[n]):
            new = tokenizer.encode(text).ids
            ids += new
            kinds += [KINDS.index(kind)] * len(new)
            counts[kind] += len(new)
        if not rows or len(rows[-1]["input_ids"]) + len(ids) > MAX_LENGTH:
            names = ("input_ids", "span_kinds", "example_lengths", "example_ids", "domains")
            rows.append({name: [] for name in names})
        row = rows[-1]
        row["input_ids"] += ids
        row["span_kinds"] += kinds
        row["example_lengths"].append(len(ids))
        row["example_ids"].append(n)
        row["domains"].append(records[n].domain)
    features = datasets.Features(
        {
            "input_ids": datasets.Sequence(datasets.Value("int32")),
            "span_kinds": datasets.Sequence(datasets.Value("uint8")),
            "example_lengths": datasets.Sequence(datasets.Value("int32")),
            "example_ids": datasets.Sequence(datasets.Value("int64")),
            "domains": datasets.Sequence(datasets.Value("int32")),
        }
    )
    datasets.disable_progress_bars()
    columns = {name: [row[name] for row in rows] for name in features}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(path))
    write_origins(path / "examples.arrow", records, kept, source)
    rejected = [n for n in range(len(records)) if n not in set(kept)]
    reasons = ["answer_mismatch" if n % 50 == 49 else "exact_duplicate" for n in rejected]
    write_lines(
        path / "rejected.jsonl",
        [
            {
                "example_id": n,
                "record_id": records[n].id,
                "source": source,
                "line": n + 1,
                "byte_offset": 0,
                "reason": reason,
                "detail": None,
            }
            for n, reason in zip(rejected, reasons, strict=True)
        ],
    )
    total = sum(counts.values())
    found = {
        "read": len(records),
        "kept": len(kept),
        "rejected": dict(Counter(reasons)),
        "unverified": 3,
        "other_split": 21,
    }
    manifest = {
        "format": 1,
        "fingerprint": "c" * 16,
        "records": found,
        "sources": [{"path": source, "format": "records", "records": found}],
        "bytes_kept": 91234,
        "tokens": {"total": total, **{kind: counts[kind] for kind in KINDS}},
        "span_kind_codes": {kind: n for n, kind in enumerate(KINDS)},
        "domains": ["orchard", "market"],
        "rows": len(rows),
        "examples": len(kept),
        "fill": total / (len(rows) * MAX_LENGTH),
        "max_length": MAX_LENGTH,
        "steps": {"packed": len(rows), "unpacked": len(kept)},
        "template": template,
        "templates": [template],
        "render": {"template": {"name": template}, "style": "plain", "end_token": "<|endoftext|>"},
        "tokenizer_sha256": "a" * 64,
        "recipe_sha256": "b" * 64,
        "versions": {"limbeck": "0.1.0"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def write_origins(path: Path, records: list[Record], kept: list[int], source: str) -> None:
    table = pa.table(
        {
            "example_id": pa.array(kept, pa.int64()),
            "record_id": pa.array([records[n].id for n in kept], pa.utf8()),
            "source": pa.array([source] * len(kept)).dictionary_encode(),
            "line": pa.array([records[n].line for n in kept], pa.int64()),
            "byte_offset": pa.array([0] * len(kept), pa.int64()),
            "domain": pa.array([records[n].domain for n in kept], pa.int32()),
            "rationale": pa.array([None] * len(kept), pa.large_utf8()),
        }
    )
    with pa.ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table, max_chunksize=100)


def write_student(path: Path, method: str, seed: int) -> None:
    path.mkdir(parents=True)
    training = {
        "steps": STEPS,
        "examples_seen": (9200, 5100, 5000)[seed],
        "tokens_processed": 307_200,
        "tokens_trained": (18_400, 138_000, 141_000)[seed],
        "seconds": 12.5 + seed,
        "parameters": 312_480,
        "trainable_parameters": 312_480,
        "epochs": 3.0,
    }
    (path / "training.json").write_text(json.dumps(training), "utf-8")
    chooser = random.Random(seed)
    history = []
    for step in range(10, STEPS + 1, 10):
        noise = 1 + 0.06 * chooser.gauss(0, 1)
        entropy = (0.15 + 0.1 * seed + 4.5 * math.exp(-step / 90)) * noise
        entry = {
            "step": step,
            "epoch": 3 * step / STEPS,
            "loss": entropy,
            "cross_entropy": entropy,
            "learning_rate": 1.5e-3 * math.cos(math.pi * step / STEPS / 2),
            "grad_norm": 1.2 * noise,
            "trained_share": 0.06 + 0.4 * (seed > 0),
            "tokens_per_second": 25_000 * noise - 900 * seed,
        }
        if method == "pst":
            distance = (0.12 + 0.8 * math.exp(-step / 150)) * noise
            entry |= {"semantic_alignment": distance, "cosine": 1 - distance}
            entry["loss"] += distance
        history.append(entry)
        if step % 100 == 0:
            history.append({"step": step, "eval_accuracy": step / STEPS / (1 + seed)})
    history.append({"step": STEPS, "epoch": 3.0, "train_runtime": 12.5, "train_loss": 0.9})
    state = {"global_step": STEPS, "log_history": history}
    (path / "trainer_state.json").write_text(json.dumps(state), "utf-8")


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def wilson(share: float, count: int) -> tuple[float, float]:
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + z * z / (4 * count**2)
    half = z * math.sqrt(spread) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on four tasks; not to be changed."""
    return Fake().write(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="session")
def demo_page(demo_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    return report(demo_run, output=tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def fake() -> Fake:
    """A run to change and write; one method and few records, so that it is quick."""
    return Fake(methods=("pst",), records=make_records(60), questions=12)
