import pytest


def test_mixtures_are_with_the_sft_policy_that_the_kl_is_measured_from(planned):
    for name in ("ema", "synced"):
        assert planned(f"kl/reference={name}").faults == []
        (fault,) = planned(f"kl/reference={name}", "realign=default").faults
        assert fault.startswith(f"kl/reference={name} moves while the policy trains")
        assert "the SFT policy that the run starts from" in fault and "realign=none" in fault
    assert planned("realign=default").faults == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("realign.lambdas=[0,-0.5]", "realign.lambdas"),
        ("realign.by=[merging]", "decoding"),
        ("realign.by=[]", "a list in brackets, each one of decoding, weights, one at least"),
        ("realign.lambdas=0.5", "a list in brackets, each a number >= 0"),
        ("realign.prompts=1", "realign.prompts"),
    ],
)
def test_values_that_are_refused(planned, setting, words):
    (fault,) = planned("realign=default", setting).faults
    assert words in fault


def test_it_decides_nothing_of_a_run(planned):
    """With it and without it a run has one name, so that a curve can be asked for later."""
    plain, more = (planned(*words).jobs[0].config for words in ((), ("realign=default",)))
    assert plain.paths.run_name == more.paths.run_name
