from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study
from rlhf.compare.text.health import markdown


def test_a_failed_run_is_told_of_too(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "well")
    assert "There was nothing to check" in markdown(study(tmp_path, load(tmp_path)))
    lost = rundirs.make_run(tmp_path / "lost", coef=0.2, state="failed")
    rundirs.append(lost / "metrics.jsonl", {"iteration": 9, "ppo/value_loss": "nan"})
    assert markdown(study(tmp_path, load(tmp_path))) == (
        "## Training health\n\n"
        "- **Value divergence**, lost (failed) (1 of 1 runs): The value loss stopped being a"
        " number."
    )
