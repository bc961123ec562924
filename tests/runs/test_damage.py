"""A run that was cut, each of its files damaged in each way: it goes on or is refused in a
sentence, and so is its reproduction; never a traceback."""

import shutil

import pytest

from rlhf.commands.runs.reproduce import main as reproduce
from rlhf.config.compose import compose, validate
from rlhf.runs.execute import execute
from tests.conftest import SMALL

DAMAGE = {
    "empty": b"",
    "half": b'{"a": {"b": 1',
    "binary": bytes(range(256)) * 4,
    "list": b"[1, 2]\n",
    "directory": None,
}
RUN = ("config.yaml", "manifest.json", "status.json", "metrics.jsonl", "timings.jsonl")
FILES = (*RUN, "samples.jsonl", "summary.json", "checkpoints/iteration-000002.sha256", "log.txt")
STAGE = ("manifest.json", "config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl")


def harm(path, content):
    path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two iterations and its stages, cut before its summary."""
    home = tmp_path_factory.mktemp("made")
    keep = "checkpoints.after_finish=last"
    small = [*SMALL, "ppo.iterations=2", "evaluation.every=1", keep]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        cfg = validate(compose(small))
        assert execute(cfg, directory=home / cfg.paths.run_dir) == 0
    (home / cfg.paths.run_dir / "summary.json").unlink()
    return home, cfg


def again(made, tmp_path, monkeypatch):
    home, cfg = made
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return cfg, tmp_path / "home" / cfg.paths.run_dir


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_cut_run_with_a_damaged_file(made, tmp_path, monkeypatch, capfd, caplog, kind):
    for i, name in enumerate(FILES):
        cfg, run = again(made, tmp_path / str(i), monkeypatch)
        harm(run / name, DAMAGE[kind])
        log = run / "log.txt"
        code = execute(cfg, directory=run, log=log)
        said = capfd.readouterr().err + caplog.text
        assert "Traceback" not in said and "step by step" not in said, name
        assert code == 0 or (code == 1 and (name in said or "metrics" in said)), (name, said)
        code = reproduce([str(run), "--dry-run"])
        said = capfd.readouterr().err
        assert code in (0, 2) and "Traceback" not in said, name


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_a_damaged_stage_is_made_again(made, tmp_path, monkeypatch, caplog, stage):
    for i, name in enumerate(STAGE):
        for kind, content in DAMAGE.items():
            cfg, run = again(made, tmp_path / f"{i}{kind}", monkeypatch)
            artifact = next(p for p in run.parents[1].glob(f"artifacts/{stage}/*") if p.is_dir())
            harm(artifact / name, content)
            assert execute(cfg, directory=run, log=run / "log.txt") == 0, (name, kind)
            assert f"{artifact.name} is damaged: {name}" in caplog.text
            caplog.clear()
