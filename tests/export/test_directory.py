import re
import subprocess
import sys

import pytest
import torch

from rlhf.commands.models.export import main
from rlhf.data.tokenizers import word_level
from rlhf.export.check import check, expected, in_a_fresh_process, rows_of
from rlhf.export.directory import generation, loaded, write
from rlhf.export.kept import rendering_of
from rlhf.export.made import Made, find
from rlhf.models.load import TinyModel
from rlhf.rundir.errors import RunFailed

pytestmark = pytest.mark.slow  # each process imports transformers anew

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|> c{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
RUN = ("ppo.iterations=2", "evaluation.every=2")


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    """A chat model whose tokenizer pads with its EOS, with another stop id in generation_config,
    a template of its own and a head of more rows than there are ids."""
    folder = tmp_path_factory.mktemp("chat")
    words = ["we", "felt", "the", "pacing", "of", "this", "drama", "was", "dull", "movie"]
    tokenizer = word_level([*words, *(f"a {word}" for word in words), "c user assistant a a a"])
    marks = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    tokenizer.chat_template = CHAT
    piece = TinyModel(architecture="llama", hidden_size=16, layers=1, heads=2, seed=3)
    model = piece.causal_lm(tokenizer)
    model.resize_token_embeddings(len(tokenizer) + 5)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, 1]
    piece.save(model, tokenizer, folder)
    return folder


@pytest.fixture(params=["tiny", "chat"])
def run(request, run_in, tmp_path, chat_model):
    """A finished run: of a model from scratch, and of one that a user brings."""
    if request.param == "tiny":
        run_in(tmp_path / "run", *RUN)
    else:
        chat = ("model=hf", f"model.path={chat_model}", "ppo.optimizer.lr=1e-3")
        run_in(tmp_path / "run", *RUN, *chat, without="model.")
    return tmp_path / "run"


def test_it_means_the_same_to_transformers_alone(run, tmp_path, monkeypatch, capsys):
    """100 pairs in a fresh process: no order changes, scores within 1e-4, mean log-probabilities
    within 1e-5; and what the card says to run does run."""
    monkeypatch.chdir(tmp_path)
    for what in ("policy", "reward_model"):
        assert main([str(run), "--what", what, "--to", what]) == 0, capsys.readouterr().err
        made = find(run)
        rendering = rendering_of(made.folder(what), made)
        ids = sorted({*rendering.tokenizer.get_vocab().values()} - {0, 1, 2})
        draws = torch.Generator().manual_seed(0)
        rows = [
            [ids[i] for i in torch.randint(len(ids), (3 + n % 9,), generator=draws).tolist()]
            + [rendering.stop_ids[0], *rendering.closing]
            for n in range(200)
        ]
        model = loaded(made, what, rendering, None)
        ours = torch.tensor(expected(model, rows))
        asked = {"what": what, "rows": rows, "conversations": [], "own_code": False}
        theirs = in_a_fresh_process(tmp_path / what, asked)
        for way in ("together", "alone"):
            read = torch.tensor(theirs[way])
            limit = 1e-5 if what == "policy" else 1e-4
            assert (ours - read).abs().max() < limit
            if what == "reward_model":
                assert ((ours[0::2] > ours[1::2]) == (read[0::2] > read[1::2])).all()
        card = (tmp_path / what / "README.md").read_text()
        for snippet in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
            assert subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path).returncode == 0
        assert not list(tmp_path.glob(".*.tmp"))


def test_a_directory_that_means_something_else_is_not_written(run_in, tmp_path, monkeypatch):
    """The weights change between our reading and theirs, as a bug in what is written would do."""
    run_in(tmp_path / "run", *RUN)
    made = find(tmp_path / "run")
    rendering = rendering_of(made.folder("policy"), made)
    model = loaded(made, "policy", rendering, None)
    rows = rows_of(rendering, model)
    ours = expected(model, rows)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.5)
    write(made, model, tmp_path / "other", rendering)
    with pytest.raises(RunFailed, match="transformers alone reads another mean log-probability"):
        check(tmp_path / "other", model, rendering, rows, ours)


def test_sampling_and_every_stop_id_are_in_generation_config(chat_model):
    config = {"generation": {"max_new_tokens": 7, "temperature": 0.5, "top_k": 3, "stop": ["\n"]}}
    made = Made(directory=chat_model, manifest={"stage": "sft", "config": config}, summary={})
    rendering = rendering_of(chat_model, made)
    drawn = generation(made, rendering)
    assert drawn.eos_token_id == [rendering.tokenizer.eos_token_id, 1]
    assert (drawn.max_new_tokens, drawn.temperature, drawn.top_k) == (7, 0.5, 3)
    assert drawn.do_sample and drawn.stop_strings == ["\n"]
