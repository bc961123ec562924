import pytest

from rlhf.commands.compare import main
from rlhf.compare.read.runs import gather, home


@pytest.fixture
def two(rundirs, tmp_path):
    for sweep, coef in (("one", 0.1), ("two", 0.2)):
        rundirs.make_run(tmp_path / "sweeps" / sweep / "same", coef=coef)
    rundirs.make_run(tmp_path / "outputs" / "lone", coef=0.3)
    return tmp_path


def test_sweeps_and_runs_together(two):
    places = [
        two / "sweeps" / "one",
        two / "sweeps" / "two",
        two / "outputs" / "lone",
        two / "sweeps" / "one" / "same",
    ]
    runs = gather(places)
    assert [run.name for run in runs] == ["one/same", "two/same", "lone"]
    assert home(runs) == home(list(reversed(runs))) != home(runs[:2])


def test_from_the_command_line(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    assert main(["sweeps/one", "sweeps/two", "outputs/lone"]) == 0
    (made,) = (two / "outputs" / "comparisons").iterdir()
    assert (
        made.name.startswith("3-runs-")
        and "one/same" in (made / "runs.csv").read_text()
        and (made / "report.html").is_file()
    )
    assert main(["sweeps/one", "--into", "mine"]) == 0
    assert (two / "mine" / "report.html").is_file() and not (
        two / "sweeps" / "one" / "report.html"
    ).exists()
    capsys.readouterr()
    assert main(["sweeps/one", "sweeps/tow"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2


def test_as_many_folders_as_tell_runs_apart(rundirs, tmp_path):
    for place in ("a/sweeps/q/same", "b/sweeps/q/same", "b/sweeps/r/same", "b/sweeps/q/other"):
        rundirs.make_run(tmp_path / place)
    runs = gather(
        [
            tmp_path / "a" / "sweeps" / "q",
            tmp_path / "b" / "sweeps" / "q",
            tmp_path / "b" / "sweeps" / "r",
        ]
    )
    assert [run.name for run in runs] == ["a/sweeps/q/same", "other", "b/sweeps/q/same", "r/same"]
