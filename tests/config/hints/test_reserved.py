"""Settings of Hydra's own node that cannot be honoured are refused, with ours in their place."""

import pytest

REFUSED = {
    "hydra.run.dir=x": "a run's directory is paths.run_dir",
    "hydra.sweep.dir=x": "a sweep's directory is paths.sweep_dir",
    "hydra.sweep.subdir=x": "the folder of a sweep's job is paths.run_name",
    "hydra.output_subdir=.hydra": "a run writes config.yaml and manifest.json",
    "hydra.job.chdir=true": "paths are relative to where the command is given",
    "hydra.runtime.cwd=/x": "is written by Hydra itself",
    "hydra.job.name=x": "is written by Hydra itself",
    "hydra.job.num=3": "is written by Hydra itself",
    "hydra.overrides.task=[]": "is written by Hydra itself",
    "hydra.launcher=null": "hydra/launcher=<option> chooses one",
    "hydra.sweeper=3": "hydra/sweeper=<option> chooses one",
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.items())
def test_refused(planned, line, reason):
    (fault,) = planned(line).faults
    assert fault.startswith(line.partition("=")[0]) and reason in fault


@pytest.mark.parametrize(
    "line",
    [
        "hydra.job.chdir=null",
        "hydra.job.chdir=false",
        "hydra.output_subdir=null",
        "hydra.verbose=true",
        "+hydra.job.env_set.FOO=1",
        "hydra.mode=RUN",
        "hydra.launcher.jobs=3",
    ],
)
def test_honoured(planned, line):
    assert planned(line).faults == []


def test_refused_in_a_file_too(tmp_path):
    from rlhf.config.composition.plan import plan
    from rlhf.config.composition.session import session

    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra:\n  job:\n    chdir: true\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with session(tmp_path) as hydra:
        (fault,) = plan(hydra, ["experiment=mine"]).faults
    assert fault.startswith("hydra.job.chdir=True: is not offered")
