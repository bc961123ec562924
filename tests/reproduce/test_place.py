"""How many runs of a sweep are made again at a time."""

from rlhf.config.compose import compose, validate
from rlhf.reproduce.place import room_for
from rlhf.runs.machine.fits import fit_of
from rlhf.runs.machine.together import Fits


def test_the_memory_is_asked_as_it_was_for_the_sweep(tmp_path):
    """The run that needs most decides, as it does where the sweep is planned."""
    small, large = (
        validate(compose(["tracking=none", f"model.hidden_size={size}"])) for size in (64, 512)
    )
    fit = fit_of(large, tmp_path)
    assert fit is not None
    assert room_for([small, large], tmp_path) == Fits(fits=(fit,)).room
    assert room_for([], tmp_path) is None
