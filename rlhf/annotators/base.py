"""What is asked of an annotator, and the base of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from rlhf.annotators.checks import share
from rlhf.data.conversations import Prompt
from rlhf.data.records import Reward


class Answer(NamedTuple):
    """One answer to a prompt. `ended`: False where it was cut off at the length."""

    prompt: Prompt
    text: str
    ended: bool = True


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two answers to one prompt, in the order in which an annotator is shown them."""

    prompt: Prompt
    first: str
    second: str
    first_ended: bool = True  # False: cut off at the length
    second_ended: bool = True

    @property
    def answers(self) -> tuple[Answer, Answer]:
        return (
            Answer(self.prompt, self.first, self.first_ended),
            Answer(self.prompt, self.second, self.second_ended),
        )

    @property
    def same(self) -> bool:
        """Whether there is nothing to compare: both answers are one."""
        return self.answers[0] == self.answers[1]

    @property
    def swapped(self) -> Comparison:
        """The same two answers in the other order."""
        return Comparison(
            prompt=self.prompt,
            first=self.second,
            second=self.first,
            first_ended=self.second_ended,
            second_ended=self.first_ended,
        )


@dataclass(frozen=True, kw_only=True)
class Live:
    """The live objects of a run that annotators judge by; None: the run has none."""

    gold: Reward | None = None
    label_temperature: float = 1.0  # the data's: of annotators that have none of their own
    # [N] float: the run's reward model's scores
    reward_model: Callable[[Sequence[Answer]], Tensor] | None = None
    device: torch.device = torch.device("cpu")


class Annotator(Protocol):
    """Anyone who can compare answers."""

    name: str

    def prefer(
        self, comparisons: Sequence[Comparison], generator: torch.Generator | None
    ) -> Tensor:
        """[N] float64: the preference for the first answer, 1 first, 0 second, 0.5 a tie.

        Without a generator it is a probability where the annotator knows one, and the same each
        time it is asked.
        """


class Simulated:
    """The base of our annotators: one that knows its probabilities says them in `probabilities`.

    Given a generator, `prefer` draws a vote, 1 with that probability and else 0; a comparison's
    draw depends on the generator and on its position alone.

    Args:
        flip: the share of votes that say the opposite: p becomes p + flip * (1 - 2 p).
    """

    name = "simulated"
    needs_gold = False  # the data must have a gold reward
    needs_reward_model = False  # the run must have a reward model
    # it draws more than votes: labels are then drawn by it, not by its probabilities
    needs_generator = False

    def __init__(self, flip: float = 0.0) -> None:
        self.flip = share("flip", flip)

    def bind(self, live: Live) -> Self:
        """This annotator with the run's live objects."""
        bound = copy.copy(self)
        bound.take(live)
        return bound

    def take(self, live: Live) -> None:
        """Keeps what it judges by of the run's live objects.

        Raises:
            DataError: the run lacks it.
        """

    def prepare(self) -> None:
        """Reads what it will need: what cannot be had is refused before any training."""

    def identity(self) -> Any:
        """What decides its answers beside its arguments, as plain values; None: nothing."""
        return None

    def probabilities(self, comparisons: Sequence[Comparison]) -> Tensor:
        """[N] float64: P(first preferred), before any flip."""
        raise NotImplementedError

    def prefer(
        self, comparisons: Sequence[Comparison], generator: torch.Generator | None
    ) -> Tensor:
        """[N] float64: votes of 0 and 1 with a generator, probabilities without."""
        if not comparisons:
            return torch.zeros(0, dtype=torch.float64)
        p = self.probabilities(comparisons)
        p = p + self.flip * (1 - 2 * p)
        return p if generator is None else drawn(p, generator)


def drawn(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """[N] float64 of 0 and 1: votes, 1 with each probability [N]. The n-th draw depends on the
    generator and on n alone."""
    u = torch.rand(len(probabilities), dtype=torch.float64, generator=generator)
    return (u < probabilities).double()


def bound(annotator: Any, live: Live) -> Annotator:
    """An annotator with the run's live objects; one of the user's own needs no `bind`."""
    bind = getattr(annotator, "bind", None)
    with_them: Annotator = annotator if bind is None else bind(live)
    return with_them
