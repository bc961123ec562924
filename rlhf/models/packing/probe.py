"""The probe of a network's layout: rows among others against rows alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rlhf.models.checks import positions_of
from rlhf.models.packing.attention import HALF
from rlhf.models.packing.choice import PROBED, kind_of, layout_of, network_of
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at, states_at

if TYPE_CHECKING:
    from rlhf.models.networks import Policy

log = logging.getLogger(__name__)

LENGTHS = (5, 2, 9)  # of the rows, in tokens
# what a logit may differ by, of the largest. In float32 sound layouts are 1e-7 to 1e-6 apart
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2


def settle(model: Policy) -> None:
    """Sees to it that networks of the model's kind are read in a layout that changes no number, if
    any but `padded` does; what falls short of that is given up with a warning."""
    network = network_of(model)
    kind, layouts = kind_of(network), iter([*Layout])
    if kind in PROBED:
        return
    layout = next(each for each in layouts if each is layout_of(network))
    while layout is not Layout.PADDED and (fault := _fault(model, layout)):
        following = next(layouts)
        log.warning(
            "a %s is not read in the layout %s, which %s: in the layout %s, which takes longer",
            *(network.config.model_type, layout.value, fault, following.value),
        )
        layout = following
    PROBED[kind] = layout


def _fault(model: Policy, layout: Layout) -> str | None:
    """What is wrong with the layout; None: nothing."""
    try:
        gap = relative_gap(model, layout)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        return f"it does not take ({type(error).__name__})"
    limit = HALF_TOLERANCE if network_of(model).dtype in HALF else TOLERANCE
    return None if gap <= limit else f"changes its logits by {gap:.1g} of the largest"


@torch.no_grad()
def relative_gap(model: Policy, layout: Layout) -> float:
    """The largest difference of a logit (of a network without a head of logits: a state) of three
    rows together from the row's alone, over the largest."""
    headless = network_of(model).get_output_embeddings() is None
    read: Callable[..., Tensor] = states_at if headless else logits_at
    alone = []
    tokens, attention = _rows(model)
    together = read(model, tokens, attention, attention, layout)
    for row, counted in zip(tokens, attention, strict=True):
        one, everywhere = row[counted][None], counted[counted][None]
        alone.append(read(model, one, everywhere, everywhere, Layout.PADDED))
    expected = torch.cat(alone)
    finite = expected.isfinite()  # ids without text have none
    if not finite.any():  # of such weights there is nothing to say
        return 0.0
    difference = (together - expected)[finite].abs().max()
    return float(difference / expected[finite].abs().max())


def _rows(model: Policy) -> tuple[Tensor, Tensor]:
    """Rows of any ids, padded on the left and on the right."""
    network = network_of(model)
    size = len(cast(nn.Embedding, network.get_input_embeddings()).weight)
    most = positions_of(network.config) or max(LENGTHS)
    lengths = torch.tensor([min(length, most) for length in LENGTHS])
    width = int(lengths.max())
    tokens = (7 * torch.arange(len(lengths) * width) + 3).remainder(size).view(-1, width)
    begin = (width - lengths) // 2
    places = torch.arange(width)
    attention = (places >= begin[:, None]) & (places < (begin + lengths)[:, None])
    return tokens.to(network.device), attention.to(network.device)
