from rlhf.compare.read import paths, place, whole
from rlhf.compare.read.runs import gather
from tests.compare.made import edit, make_path

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5), 0.01: (9.0, 3.0, 1.2)}


def test_the_points_of_a_path_in_their_order(rundirs, tmp_path):
    """The coefficient falls, and names are no order: kl0.1 comes before kl0.5."""
    for seed in (0, 1):
        make_path(rundirs, tmp_path / f"p{seed}", ENDS, seed=seed)
    rundirs.make_run(tmp_path / "alone", coef=0.1)
    runs = gather([tmp_path])
    ways = paths(runs)
    assert [[run.summary["kl.coef"] for run in way] for way in ways] == [[0.5, 0.1, 0.01]] * 2
    assert [way[-1].directory.name for way in ways] == ["p0", "p1"]
    last = place(ways[1][-1])
    assert last is not None and (last.path, last.point, last.points) == (tmp_path / "p1", 2, 3)
    assert [place(run).path for run in ways[0]] == [tmp_path / "p0"] * 3
    assert {run.name for run in whole(runs)} == {"p0", "p1", "alone"}


def test_points_of_paths_with_one_name_stay_apart(rundirs, tmp_path):
    for sweep in ("a", "b"):
        make_path(rundirs, tmp_path / sweep / "p", ENDS)
    runs = gather([tmp_path / "a", tmp_path / "b"])
    assert [len(way) for way in paths(runs)] == [3, 3] and len(whole(runs)) == 2


def test_a_point_whose_path_is_not_there_stands_for_it(rundirs, tmp_path):
    first, second, _ = make_path(rundirs, tmp_path / "p", ENDS)
    runs = gather([first, second])
    assert [run.directory for run in whole(runs)] == [second]


def test_a_run_whose_summary_says_nothing_of_a_path(rundirs, tmp_path):
    odd = rundirs.make_run(tmp_path / "odd")
    edit(odd / "summary.json", path="somewhere")
    (run,) = gather([odd])
    assert place(run) is None and paths([run]) == [] and whole([run]) == [run]
