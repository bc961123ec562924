"""What a run's directory says of the services that it is tracked in."""

import pytest

from rlhf.tracking.services.table import other_links, without
from rlhf.tracking.state import STATE


@pytest.mark.parametrize(
    ("files", "asked", "absent"),
    [
        ((), ("none",), []),
        ((), ("mlflow",), ["mlflow"]),
        ((STATE,), ("mlflow", "wandb"), ["wandb"]),
        ((STATE, "tracking.wandb.json"), ("wandb", "mlflow"), []),
        (("tracking.wandb.json",), ("tensorboard", "trackio"), ["tensorboard", "trackio"]),
        ((), ("mine",), []),  # of the user's own: nothing of ours says whether it was there
    ],
)
def test_services_that_a_run_was_never_tracked_in(files, asked, absent, tmp_path):
    for name in files:
        (tmp_path / name).write_text("{}")
    assert without(tmp_path, asked) == absent


def test_a_run_that_is_tracked_nowhere_has_no_links(tmp_path):
    assert other_links(tmp_path) == {}
