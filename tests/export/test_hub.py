"""Nothing here asks a hub: its address is a port of this computer that is closed."""

import pytest

from rlhf.commands.models.export import main
from rlhf.export.hub import NoHub, check_login, check_name
from tests.export.test_made import run  # noqa: F401 (a fixture)


@pytest.mark.parametrize("name", ["a b/c", "a/b/c", "x--y/.z", ""])
def test_a_name_that_no_hub_takes_is_wrong(name):
    with pytest.raises(NoHub, match="expected owner/name") as error:
        check_name(name)
    assert error.value.exit_code == 2
    check_name("me/my-policy")


def test_without_a_login_nothing_is_read(monkeypatch, run, capsys):  # noqa: F811
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    assert main([str(run), "--push", "me/mine"]) == 1
    assert (
        "nobody is logged in at https://huggingface.co: `hf auth login`" in capsys.readouterr().err
    )
    assert main([str(run), "--push", "not a name"]) == 2


def test_a_hub_that_is_not_reached_is_a_sentence_without_the_token(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "hf_s3cr3ts3cr3t")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        NoHub, match="no hub is asked|no hub answers at http://127.0.0.1:9"
    ) as error:
        check_login()
    assert "s3cr3t" not in str(error.value) and error.value.exit_code == 1
