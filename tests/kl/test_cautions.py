import pytest

from rlhf.kl.rules import cautions


def test_plain_sampling_needs_no_word():
    assert cautions() == cautions(temperature=1.0, top_k=0, top_p=1.0) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"top_k": 50}, ["generation.top_k=50"]),
        ({"top_p": 0.9}, ["generation.top_p=0.9"]),
        ({"top_k": 5, "top_p": 0.95}, ["generation.top_k=5 and generation.top_p=0.95"]),
    ],
)
def test_a_cut_distribution_spoils_the_sampled_estimates(settings, named):
    (said,) = cautions(**settings)
    for part in [
        *named,
        "kl/sequence_nats",
        "_k2",
        "_k3",
        "objective",
        "_exact",
        "eval/kl/plain",
        "gradient is biased",
    ]:
        assert part in said


def test_temperature_keeps_the_estimates_and_changes_whose_kl_it_is():
    (said,) = cautions(temperature=0.7)
    assert (
        said.startswith("generation.temperature=0.7")
        and "tempered" in said
        and "eval/kl/plain" in said
    )


def test_both_are_told():
    assert len(cautions(temperature=0.7, top_p=0.9)) == 2
