"""What `rlhf config` says of groups, options and keys."""

import json

import pytest

from rlhf.commands.setup.config import main
from tests.plugins import write_distribution, write_package


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


def test_the_words_of_a_sweep(capsys):
    assert main(["-m", "kl/controller=pid,dual", "seed=0,1"]) == 0
    out, err = capsys.readouterr()
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles == ["kl/controller=pid", "kl/controller=dual", "seed"]
    assert err == (
        "\nthe jobs that these make: rlhf plan -m kl/controller=pid,dual seed=0,1\n"
        "the whole config of the first: rlhf -m kl/controller=pid,dual seed=0,1 --cfg job\n"
    )
    assert said(capsys, "-m", "kl=gropo", code=2).endswith("did you mean grpo?\n")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("kl/controler", "did you mean kl/controller?"),
        ("ppo.iteration", "did you mean ppo.iterations?"),
        ("kl/controller=adaptve", "did you mean adaptive?"),
        ("adaptive", "it is an option: kl/controller=adaptive"),
        ("hydra.mode=MULTIRUN", "a setting of Hydra's own: rlhf --cfg hydra"),
    ],
)
def test_unknown_names(word, hint, capsys):
    text = said(capsys, word, "seed", code=2)
    assert text.startswith("rlhf config: ")
    assert hint in text


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("ppo.optimizer", "optimizer: how weights are stepped"),
        ("kl/controller=[pid,dual]", "kl/controller=pid"),
        ("tracking=[mlflow,tensorboard]", "tracking=mlflow"),
        ("kl/controller/pid", "kl/controller=pid"),
        ("experiment/claims", "experiment=claims/ema_anchor"),
        ("experiment/claims/k2_in_loss", "experiment=claims/k2_in_loss"),
    ],
)
def test_places_lists_and_paths(word, first, capsys):
    assert said(capsys, word).startswith(first)


def test_a_plugins_groups_unless_it_is_left_out(tmp_path, monkeypatch, capsys):
    files = {"conf/kl/controller/toy.yaml": "# Of a plugin\nstep: 0.5  # a nat\n"}
    write_package(tmp_path / "site", "toys", files)
    write_distribution(tmp_path / "site", "rlhf-toys", {"toy": "toys"})
    assert "no such option" in said(capsys, "kl/controller=toy", code=2)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert said(capsys, "kl/controller=toy").startswith("kl/controller=toy\n  Of a plugin\n")
    assert said(capsys, "kl.controller.step").startswith("kl.controller.step\n  number")
    own = tmp_path / "own" / "kl" / "controller"
    own.mkdir(parents=True)
    (own / "toy.yaml").write_text("# Of mine\npace: 1\n")
    words = ("kl/controller=toy", "--config-dir", str(tmp_path / "own"))
    assert said(capsys, *words).startswith("kl/controller=toy\n  Of mine\n")


def test_no_such_folder(capsys):
    text = said(capsys, "--config-dir", "nowhere", code=2)
    assert text == "rlhf config: --config-dir=nowhere: no such folder\n"


@pytest.mark.parametrize(
    ("written", "fault"), [("a: [1,\n", "while parsing a flow node"), ("- a\n", "expected keys")]
)
def test_a_file_that_is_no_config(written, fault, tmp_path, capsys):
    (tmp_path / "kl").mkdir()
    (tmp_path / "kl" / "mine.yaml").write_text(written)
    (line,) = said(capsys, "kl", "--config-dir", str(tmp_path), code=2).splitlines()
    assert line.startswith(f"rlhf config: {tmp_path}/kl/mine.yaml: {fault}")
