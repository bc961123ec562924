"""A canary in every place that a secret can come from; then every file is searched for it."""

import os
import re
from multiprocessing import forkserver
from pathlib import Path

import pytest

from rlhf.commands.runs import run as cli

MINE = """
import os
from pathlib import Path

import pytorch_lightning as pl

class Scorer:
    needs_reward_model = False
    def __init__(self, **given):
        self.given = given

class Hook(pl.Callback):
    def __init__(self, address, token=None, fails=False, **more):
        self.address, self.token, self.fails, self.more = address, token, fails, more

    def on_train_start(self, trainer, module):
        print("the hook is", self.address)
        for process in (os.getpid(), os.getppid()):  # what others see of a job
            file = Path(f"/proc/{process}/cmdline")
            if file.exists() and process != int(os.environ["CANARY_TEST"]):
                Path(f"cmdline-{process}").write_bytes(file.read_bytes())
        if self.fails:
            raise RuntimeError(f"no answer from {self.address} with {self.token} {self.more}")
"""
TINY = [
    *("data=micro", "data.demonstrations=60", "data.pairs=30", "data.prompts=3"),
    *("model.hidden_size=16", "sft.epochs=1", "reward_model.epochs=1"),
    *("reward_model.normalize_samples=16", "ppo.iterations=1", "ppo.rollout_size=16"),
    *("ppo.minibatch_size=8", "evaluation.prompts=8", "callbacks=none"),
]
SCORER = [
    "scorer._target_=canary_of_mine.Scorer",
    "+scorer.api_key='${oc.env:CANARY_KEY}'",
    "+scorer.header='Bearer ${oc.env:CANARY_KEY}'",
    "+scorer.options='${oc.decode:${oc.env:CANARY_MORE}}'",
]
HOOK = "+callbacks.hook={_target_: canary_of_mine.Hook, address: '${oc.env:CANARY_HOOK}'}"
FAILING = (
    "+callbacks.bad={_target_: canary_of_mine.Hook, address: here, fails: true,"
    " token: '${oc.env:CANARY_TOKEN}', at: '${oc.env:CANARY_HOOK}', pass_key: c4naryLITERAL}"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "canary_of_mine.py").write_text(MINE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'lib'}:{Path(__file__).parents[2]}")
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "canary_of_mine")
    monkeypatch.setenv("CANARY_TEST", str(os.getpid()))
    for name in ("KEY", "PW", "HOOK", "TOKEN"):
        monkeypatch.setenv(f"CANARY_{name}", f"c4nary{name}")
    monkeypatch.setenv("CANARY_MORE", "{token: c4naryMORE, n: 1}")
    monkeypatch.setenv("CANARY_URI", "http://me:c4naryURI@127.0.0.1:9")
    forkserver._forkserver._stop()  # the next one, for the sweep's jobs, has this environment
    yield tmp_path / "here"
    forkserver._forkserver._stop()


def canaries(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return {
        (word.decode(), str(path.relative_to(folder)))
        for path in files
        for word in re.findall(rb"c4nary[A-Z]*", path.read_bytes())
    }


@pytest.mark.slow
def test_no_file_of_a_run_has_a_secret(place, monkeypatch, capsys):
    sft = [*TINY, *SCORER, "stage=sft"]
    assert cli.main([*sft, HOOK, "tracking=mlflow", "study=a"]) == 0
    # a rotated key is the same run
    monkeypatch.setenv("CANARY_KEY", "c4naryROTATED")
    assert cli.main([*sft, HOOK, "tracking=mlflow", "study=a"]) == 0
    assert "this run was finished before" in capsys.readouterr().err
    for study, uri in {
        "pw": "http://me:${oc.env:CANARY_PW}@127.0.0.1:9",
        "uri": "${oc.env:CANARY_URI}",
        "text": "http://me:c4naryTEXT@127.0.0.1:9",
        "query": "http://127.0.0.1:9?token=c4naryQUERY",
    }.items():
        assert cli.main([*sft, f"study={study}", f"tracking.uri='{uri}'"]) == 0
    assert cli.main([*sft, "scorer.api_key=c4naryLITERAL", "tracking=none", "study=b"]) == 0
    failing = [*sft, FAILING, "tracking=mlflow", "study=fails", "sft.seed=3"]
    assert cli.main(failing) == 1
    (place / "my" / "experiment").mkdir(parents=True)
    file = place / "my" / "experiment" / "canary.yaml"
    file.write_text(
        "# @package _global_\ncallbacks:\n  file: {_target_: canary_of_mine.Hook,"
        " address: '${oc.env:CANARY_HOOK}', token: c4naryYAML}\n"
    )
    assert cli.main(["--config-dir=my", *sft, "experiment=canary", "study=c", "sft.seed=4"]) == 0
    file.unlink()
    assert canaries(place) == set()
    (log,) = (place / "outputs" / "fails").glob("*/log.txt")
    assert "no answer from here with *** {'at': '***', 'pass_key': '***'}" in log.read_text()


@pytest.mark.slow
def test_no_file_of_a_sweep_has_a_secret(place, capsys):
    words = [*TINY, HOOK, "callbacks.hook.address='${oc.env:CANARY_HOOK}'"]
    words += ["+callbacks.hook.api_key=c4naryLITERAL", "-m"]
    assert cli.main([*words, "seed=0,1", "study=good"]) == 0
    assert cli.main([*words, "sft.seed=5,6", "study=bad", "stage=sft", FAILING]) == 1
    # how a search writes its multirun.yaml
    search = ["hydra/sweeper=find", "hydra.sweeper.target=0.01", "hydra.sweeper.n_points=3"]
    search += ["kl.coef=tag(log, interval(0.01, 0.1))", "study=search"]
    cli.main([*words, *search])
    assert canaries(place) == set()
    written = [path.parent.name for path in (place / "sweeps").glob("*/multirun.yaml")]
    assert {name.partition("-")[0] for name in written} == {"good", "bad", "search"}
    assert any((place / "sweeps").glob("good*/report.html"))
    assert os.environ["CANARY_HOOK"] == "c4naryHOOK"
