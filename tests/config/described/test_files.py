"""Groups and options by the names of files."""

from rlhf.config.described.files import group_files
from rlhf.config.plugins.folders import conf_dir


def test_folders_are_groups_and_files_are_options():
    groups = group_files([conf_dir()])
    assert "pid" in groups["kl/controller"]
    assert "claims/k2_in_loss" in groups["experiment"]
    assert "experiment/claims" not in groups
    assert "" not in groups


def test_the_first_of_two_files_of_a_name(tmp_path):
    for root in ("a", "b"):
        (tmp_path / root / "kl").mkdir(parents=True)
        (tmp_path / root / "kl" / "mine.yaml").touch()
    found = group_files([tmp_path / "a", tmp_path / "b"])
    assert found == {"kl": {"mine": tmp_path / "a" / "kl" / "mine.yaml"}}
