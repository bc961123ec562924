from rlhf.compare.read.runs import load
from rlhf.compare.statistics.findings import find
from rlhf.compare.statistics.settings import group
from rlhf.compare.text.answer import over_optimisation


def test_one_run_can_show_its_own_fall(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.2, peak=2.5, iterations=4)
    assert "Over-optimisation is visible along training. In a, gold was 2.50" in over_optimisation(
        find(group(load(tmp_path)))
    )


def test_noise_that_is_not_known_is_not_called_within_it(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.0)
    run = rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=2.0)
    (run / "summary.json").write_text(
        (run / "summary.json").read_text().replace("reward/gold_se", "lost")
    )
    text = over_optimisation(find(group(load(tmp_path))))
    assert "whether that is more than noise is not known" in text


def test_one_setting_has_nothing_beside_it(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "a", gold=2.0)
    assert "along the training of this one setting" in over_optimisation(
        find(group(load(tmp_path)))
    )
    (run / "metrics.jsonl").unlink()
    assert "no gold reward along its training" in over_optimisation(find(group(load(tmp_path))))
