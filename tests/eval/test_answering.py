import json

from limbeck.answering import answers
from limbeck.config import Evaluate
from limbeck.questions import Asked

PROMPT = 5


def test_text_is_what_the_student_wrote(scripted_student):
    script = ["."] * PROMPT + ["Ġfive", "<|sem|>"]
    student = scripted_student(script, "answer-first")
    assert list(answers(student, [Asked("one")], settings=Evaluate())) == ["five"]


def test_json_tells_the_answer_its_way_and_its_cost(scripted_student):
    script = ["."] * PROMPT
    script += ["Ġone", ".", "Ċ", "The", "Ġanswer", "Ġis", "Ġfive", ".", "<|endoftext|>"]
    student = scripted_student(script, "think-first")
    [line] = answers(student, [Asked("one", "q7")], settings=Evaluate(), as_json=True)
    assert json.loads(line) == {
        "id": "q7",
        "question": "one",
        "answer": "five",
        "way": "think-first",
        "text": " one.\nThe answer is five.",
        "prompt_tokens": 6,
        "tokens_generated": 9,
        "sample": 0,
        "seed": 0,
    }


def test_a_vote_is_one_answer_and_shows_its_counts(scripted_student):
    # So far from uniform that samples are alike.
    student = scripted_student(["."] * PROMPT + ["Ġfive", "<|endoftext|>"], "answer-only")
    settings = Evaluate(vote=4, n_samples=8, temperature=1e-3)
    asked = [Asked("one"), Asked("two")]
    assert list(answers(student, asked, settings=settings)) == ["five (five: 4; of 4)"] * 4
    lines = [json.loads(each) for each in answers(student, asked, settings=settings, as_json=True)]
    assert [line["question"] for line in lines] == ["one", "one", "two", "two"]
    assert lines[0] == {
        "question": "one",
        "answer": "five",
        "votes": [{"answer": "five", "votes": 4}],
        "prompt_tokens": 24,
        "tokens_generated": 8,
    }


def test_samples_without_an_answer_elect_none(scripted_student):
    student = scripted_student(["<|endoftext|>"] * 60, "answer-only")
    settings = Evaluate(vote=2, temperature=1e-3)
    assert list(answers(student, [Asked("one")], settings=settings)) == ["no answer in 2 samples"]
