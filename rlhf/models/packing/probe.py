"""The probe of a network's layout: rows among others against rows alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from rlhf.models.adapters.views import Policy
from rlhf.models.checks import positions_of
from rlhf.models.packing.attention import HALF
from rlhf.models.packing.choice import PROBED, layout_of, network_of, probed
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at, states_at

log = logging.getLogger(__name__)

LENGTHS = (5, 2, 9)  # of the rows, in tokens
# what a logit may differ by, of the largest. In float32 sound layouts are 1e-7 to 1e-6 apart
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2


def settle(model: Policy) -> None:
    """Sees to it that the network is read in a layout that changes no number, if any but `padded`
    does; what falls short of that is given up with a warning. It is asked once of a network: what
    another one could take says nothing of this one, and no run depends on the runs before it."""
    network = network_of(model)
    if probed(network) is not None:
        return
    order = [*Layout]
    layouts = order[order.index(layout_of(network)) :]
    for layout, following in pairwise(layouts):
        if not (fault := _fault(model, layout)):
            break
        log.warning(
            "a %s is not read in the layout %s, which %s: in the layout %s, which takes longer",
            *(network.config.model_type, layout.value, fault, following.value),
        )
    else:
        layout = Layout.PADDED
    setattr(network.base_model, PROBED, layout)


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
    rows together from the row's alone, over the largest (as it is where all are 0)."""
    headless = network_of(model).get_output_embeddings() is None
    read: Callable[..., Tensor] = states_at if headless else logits_at
    alone = []
    tokens, attention = _rows(model)
    keep = attention.clone()
    keep[:, ::2] = False  # not all, as in a response's reading
    together = read(model, tokens, attention, keep, layout)
    for row, counted, kept in zip(tokens, attention, keep, strict=True):
        one, everywhere = row[counted][None], counted[counted][None]
        alone.append(read(model, one, everywhere, kept[counted][None], Layout.PADDED))
    expected = torch.cat(alone)
    finite = expected.isfinite()  # ids without text have none
    if not finite.any():  # of such weights there is nothing to say
        return 0.0
    difference = (together - expected)[finite].abs().max()
    largest = expected[finite].abs().max()
    return float(difference / largest) if largest else float(difference)


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
