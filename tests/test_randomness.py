import torch

from rlhf.randomness import derive_seed, generator, seeded_global_rng


def draw(*where):
    return torch.rand(4, generator=generator(*where))


def test_same_place_same_numbers_and_any_other_place_others():
    here = draw(0, "ppo", "rollout", 3)
    assert torch.equal(here, draw(0, "ppo", "rollout", 3))
    for other in [
        (1, "ppo", "rollout", 3),
        (0, "sft", "rollout", 3),
        (0, "ppo", "eval", 3),
        (0, "ppo", "rollout", 4),
    ]:
        assert not torch.equal(here, draw(*other))


def test_a_place_is_not_the_concatenation_of_its_parts():
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert derive_seed(0, 1) != derive_seed(0, "1")


def test_global_rng_is_neither_read_nor_moved():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = draw(0, "x")
    with seeded_global_rng(0, "init"):
        inside = torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(8)
    assert torch.equal(first, draw(0, "x"))
    with seeded_global_rng(0, "init"):
        assert torch.equal(inside, torch.rand(3))
