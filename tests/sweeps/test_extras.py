import pytest

from rlhf.sweeps import extras

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
OURS = {"launcher": ("local", "hydra_plugins.rlhf.LocalLauncher"), "sweeper": ("basic", "x.Basic")}


@pytest.mark.parametrize(
    ("part", "option", "target", "extra"),
    [
        ("launcher", "joblib", JOBLIB, "joblib"),
        ("launcher", "submitit_slurm", "hydra_submitit_launcher.SlurmLauncher", "slurm"),
        ("launcher", "ray", "hydra_ray_launcher.RayLauncher", "ray"),
        ("sweeper", "optuna", "hydra_plugins.rlhf.OptunaSweeper", "optuna"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, part, option, target, extra):
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    chosen = {part: (option, target)}
    assert extras.missing_extras(chosen) == [
        f"hydra/{part}={option} needs a package that is not there: pip install 'rlhf[{extra}]'"
    ]


def test_ours_need_nothing():
    assert extras.missing_extras(OURS) == []
