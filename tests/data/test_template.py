"""Templates: two format strings, and clear words where they do not serve."""

import json

import pytest
import tokenizers

from limbeck import _native
from limbeck.errors import InputError


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    words = ["<unk>", "</s>", "q", "a", "r", "Q", "A", ":", ".", "Question", "Answer", "Rationale"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.add_special_tokens(["</s>"])
    backend.save(str(path))
    return path


def _renderer(tokenizer, prompt, completion, **settings):
    template = {"name": "test", "prompt": prompt, "completion": completion}
    render = {"template": template, "style": "plain", **settings}
    return _native.Renderer(str(tokenizer), json.dumps(render))


def test_kinds(tokenizer):
    renderer = _renderer(tokenizer, "Q: {question}\nA:", "{answer}{semantic} r: {rationale} .{end}")
    ids, kinds = renderer.example("q", "a", "r")
    words = ["Q", ":", "q", "A", ":", "a", "<|sem|>", "r", ":", "r", ".", "</s>"]
    vocabulary = tokenizers.Tokenizer.from_file(str(tokenizer)).get_vocab() | {"<|sem|>": 12}
    assert ids == [vocabulary[word] for word in words]
    assert list(kinds) == [0, 0, 1, 0, 0, 2, 4, 3, 3, 3, 6, 6]


def test_answer_only_needs_no_rationale(tokenizer):
    renderer = _renderer(tokenizer, "{question}", "{answer}{end}")
    assert renderer.example("q", "a") == renderer.example("q", "a", "r")
    assert json.loads(renderer.render_json)["added_tokens"] == []


@pytest.mark.parametrize(
    ("prompt", "completion", "message"),
    [
        ("{question}", "{anwser}{end}", r"prepare.template.completion: unknown field \{anwser\}"),
        ("Q", "{answer}{end}", r"prepare.template.prompt: there is no \{question\}"),
        ("{question}", "{answer}", r"there is no \{end\}"),
        ("{question}", "{answer}{end}.", r"text follows \{end\}"),
        ("{question}", "{answer}{answer}{end}", r"\{answer\} stands there twice"),
        ("{question}", "{end}", "neither"),
        ("{question}{answer}", "{rationale}{end}", "stands in the prompt"),
        ("{question}", "{question}{answer}{end}", "stands in the completion"),
        ("{question", "{answer}{end}", "no partner"),
    ],
)
def test_faults_are_named(tokenizer, prompt, completion, message):
    with pytest.raises(InputError, match=message):
        _renderer(tokenizer, prompt, completion)


def test_settings_are_checked(tokenizer, tmp_path):
    with pytest.raises(InputError, match="unknown field"):
        _renderer(tokenizer, "{question}", "{answer}{end}", colour="red")
    with pytest.raises(InputError, match='no token "<eos>"'):
        _renderer(tokenizer, "{question}", "{answer}{end}", eos_token="<eos>")
    with pytest.raises(InputError, match="no chat template"):
        _renderer(tokenizer, "{question}", "{answer}", style="chat")
    with pytest.raises(InputError, match=r"\{end\} stands in a chat message"):
        _renderer(tokenizer, "{question}", "{answer}{end}", style="chat")
    with pytest.raises(InputError, match="added_tokens"):
        _renderer(tokenizer, "{question}", "{answer}{end}", added_tokens=[" "])
    with pytest.raises(InputError, match="no such file"):
        _renderer(tmp_path, "{question}", "{answer}{end}")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer"):
        _renderer(tmp_path, "{question}", "{answer}{end}")


@pytest.mark.parametrize(
    ("fields", "place"),
    [(("", "a", "r"), "question"), (("q", " \n", "r"), "answer"), (("q", "a", None), "rationale")],
)
def test_a_blank_field_is_named(tokenizer, fields, place):
    renderer = _renderer(tokenizer, "{question}", "{answer} {rationale}{end}")
    with pytest.raises(InputError, match=f"^{place}: it is blank"):
        renderer.example(*fields)


def test_the_end_of_a_bare_tokenizer_must_be_known(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, "?")).save(str(path))
    with pytest.raises(InputError, match=r"prepare\.eos_token"):
        _renderer(path, "{question}", "{answer}{end}")
    renderer = _renderer(
        path, "{question}", "{answer}{end}", added_tokens=["<|stop|>"], eos_token="<|stop|>"
    )
    assert renderer.example("a", "a") == ([0, 0, 2], bytes([1, 2, 6]))
