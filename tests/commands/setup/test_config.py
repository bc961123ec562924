"""What `rlhf config` says of groups, options and keys."""

import json

import pytest

from rlhf.commands.setup.config import main


def said(capsys, *words, code=0):
    assert main(list(words)) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_all_groups(capsys):
    text = said(capsys)
    assert "  kl/controller     how does the coefficient move?\n" in text
    assert "adaptive adaptive_alpaca_farm cosine dual fixed* linear path pid\n" in text
    assert "  seed=0 " in text
    assert max(map(len, text.splitlines())) <= 100
    groups = json.loads(said(capsys, "--json"))
    assert groups["kl"]["default"] == "instructgpt"
    assert groups["kl/controller"]["options"]["fixed"] == "beta stays where it starts"


def test_a_group(capsys):
    text = said(capsys, "kl/controller")
    assert "kl/controller=fixed  (default)\n  beta stays where it starts\n" in text
    assert "  kl.controller.horizon=10000               number: > 0\n      episodes\n" in text
    assert "makes rlhf.kl.controller.Adaptive; decides the results of ppo; not read with" in text
    assert max(map(len, text.splitlines())) <= 100
    (group,) = json.loads(said(capsys, "kl/controller", "--json"))
    adaptive = next(option for option in group["options"] if option["name"] == "adaptive")
    assert adaptive["keys"][0]["range"] == "> 0"


def test_a_key_and_an_option(capsys):
    text = said(capsys, "ppo.iterations", "kl/controller=pid")
    assert "ppo.iterations\n  whole number: >= 1 and < 2^31\n" in text
    assert "ppo=pretrained                   100\n" in text
    assert "\n\nkl/controller=pid\n  PID on log beta" in text


def test_the_words_of_a_command(capsys):
    text = said(capsys, "+ppo.lr_warmup=0.3", "kl.controller", "optimizer@sft.optimizer=sgd")
    assert text.startswith("ppo.lr_warmup\n  number: >= 0 and <= 1\n")
    assert "\n\nkl/controller: how does" in text
    assert "\n\noptimizer=sgd\n" in text


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("kl/controler", "did you mean kl/controller?"),
        ("ppo.iteration", "did you mean ppo.iterations?"),
        ("kl/controller=adaptve", "did you mean adaptive?"),
        ("adaptive", "it is an option: kl/controller=adaptive"),
    ],
)
def test_unknown_names(word, hint, capsys):
    text = said(capsys, word, "seed", code=2)
    assert text.startswith("rlhf config: ")
    assert hint in text


def test_no_such_folder(capsys):
    text = said(capsys, "--config-dir", "nowhere", code=2)
    assert text == "rlhf config: --config-dir=nowhere: no such folder\n"


def test_a_file_that_is_no_yaml(tmp_path, capsys):
    (tmp_path / "kl").mkdir()
    (tmp_path / "kl" / "mine.yaml").write_text("a: [1,\n")
    assert "--config-dir=" in said(capsys, "kl", "--config-dir", str(tmp_path), code=2)
