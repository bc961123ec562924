"""Who reads a key."""

from rlhf.config.described.readers import PACKAGE, reader

UNREAD = {"algorithm=dpo": frozenset({"kl.controller", "ppo.policy_clip"})}


def test_code_that_names_a_setting():
    clip = reader("ppo.policy_clip", None, UNREAD)
    assert "modules/algorithms/policy_gradient.py" in clip.by
    assert clip.stages == ("ppo",)
    assert clip.unread_with == ("algorithm=dpo",)


def test_rules_stand_apart():
    size = reader("ppo.rollout_size", None, {})
    assert "config/checks/ranks.py" in size.rules
    assert not [file for file in size.by if file.startswith("config/")]
    for file in (*size.by, *size.rules):
        assert (PACKAGE / file).is_file()


def test_a_pieces_argument_is_read_by_its_class():
    target = reader("kl.controller.target", "rlhf.kl.controller.PID", UNREAD)
    assert target.by == ("rlhf.kl.controller.PID",)
    assert target.unread_with == ("algorithm=dpo",)


def test_stages_whose_results_a_key_decides():
    assert reader("sft.epochs", None, {}).stages == ("sft", "reward_model", "ppo")
    assert reader("seed", None, {}).stages == ("ppo",)
    assert reader("paths.outputs", None, {}).stages == ()
    assert reader("trainer.devices", None, {}).stages == ()


def test_settings_that_code_hands_on_whole():
    assert reader("sft.no_such_key", None, {}).by
