from types import SimpleNamespace

from rlhf.models.eos import eos_ids


def test_the_ids_of_all_configurations_each_once():
    """A chat model: a turn ends with 4, by generation_config; a text with 1, by config."""
    generation, config = (SimpleNamespace(eos_token_id=ids) for ids in ([1, 4], 1))
    assert eos_ids(generation, config) == [1, 4]
    assert eos_ids(SimpleNamespace(eos_token_id=None), SimpleNamespace()) == []
