import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.validate import ConfigError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("reward_model.trained=last", "expected all, head or last:N"),
        ("reward_model.trained='last:0'", "expected all, head or last:N"),
        ("sft.trained=first", "expected all, head or last:N"),
        ("sft.trained=head", "is their embedding too: take all or last:N"),
    ],
)
def test_a_part_that_is_none(line, expected):
    with pytest.raises(ConfigError, match=expected) as error:
        validate(compose([line]))
    assert line.partition("=")[0] in str(error.value)


def test_parts():
    config = validate(compose(["reward_model.trained=head", "sft.trained='last:2'"]))
    assert (config.reward_model.trained, config.sft.trained) == ("head", "last:2")


def test_configs_that_were_kept_before_train_everything():
    plain = validate(compose([])).plain()
    for section in ("sft", "reward_model"):
        del plain[section]["trained"], plain[section]["max_rows"]
    config = validate(plain)
    assert (config.sft.trained, config.reward_model.trained) == ("all", "all")
    assert config.sft.max_rows is None
