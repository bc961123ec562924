"""A causal LM that is asked which of two answers is better."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from os.path import commonprefix
from typing import Any, Literal

import torch
from torch import Tensor

from rlhf.annotators.base import Comparison, Live, Simulated
from rlhf.annotators.checks import answers_fault, template_fault
from rlhf.arguments import one_of
from rlhf.data.collate import pad
from rlhf.models.checks import positions_of
from rlhf.models.load import HFModel, load_tokenizer
from rlhf.models.packing.read import logits_at
from rlhf.rundir.errors import ModelError, RunFailed
from rlhf.rundir.words import plural

log = logging.getLogger(__name__)

ORDERS = ("both", "given")


class Pretrained(HFModel):
    key = "annotator.path"

    def own_tokenizer(self) -> Any:
        with self._had():
            return load_tokenizer(self.path, revision=self.revision)


class JudgeAnnotator(Simulated):
    """P(first) = pi(A) / (pi(A) + pi(B)), pi the probability of each of two words as what the model
    says next to a question that shows it both answers.

    Of models the place of an answer often counts too. With `orders=both` each comparison is asked
    in both orders and the mean is taken: an annotator who always takes the one shown first is then
    a tie everywhere. With `given` it is asked once, and `position_bias` measures that.

    A comparison that is longer than what the model reads is a tie.

    Args:
        path: a folder, or a name on the hub.
        template: the question, with `{prompt}`, `{first}` and `{second}`; it is the user's turn
            where the model's tokenizer has a chat template, else read as it stands.
        answers: the words for the first and the second answer, as they follow the question.
        max_length: tokens; None: what its positions take.

    Raises:
        ModelError: the model cannot be had, or is no causal LM.
        ValueError: the template or the words cannot be used.
    """

    name = "judge"

    def __init__(
        self,
        path: str,
        template: str,
        answers: Sequence[str] = ("A", "B"),
        orders: Literal["both", "given"] = "both",
        max_length: int | None = None,
        batch_size: int = 16,
        revision: str | None = None,
        dtype: str = "float32",
        flip: float = 0.0,
    ) -> None:
        super().__init__(flip)
        for name, fault in (
            ("template", template_fault(template)),
            ("answers", answers_fault(answers)),
        ):
            if fault is not None:
                raise ValueError(f"{name} {fault}")
        self.template, self.answers = template, tuple(answers)
        self.orders, self.batch_size = one_of("orders", orders, ORDERS), batch_size
        self.piece = Pretrained(path=path, revision=revision, dtype=dtype, trust_remote_code=False)
        self.tokenizer: Any = self.piece.own_tokenizer()
        config = self.piece.config(self.tokenizer)
        kinds = config.architectures or ()
        if kinds and not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
            raise ModelError([f"annotator.path={path}: is a {kinds[0]}; expected a causal LM"])
        known = (max_length, self.tokenizer.model_max_length, positions_of(config))
        self.max_length = min(limit for limit in known if limit is not None)
        self.device, self.warned = torch.device("cpu"), list[bool]()

    @cached_property
    def model(self) -> Any:
        return self.piece.causal_lm(self.tokenizer).requires_grad_(False)

    def prepare(self) -> None:
        _ = self.model

    def identity(self) -> Any:
        return self.piece.identity()

    def bind(self, live: Live) -> JudgeAnnotator:
        """Itself: its model is loaded once."""
        self.device = live.device
        return self

    def probabilities(self, comparisons: Sequence[Comparison]) -> Tensor:
        given = self.shown_first(comparisons)
        if self.orders == "given":
            return given
        return (given + 1 - self.shown_first([each.swapped for each in comparisons])) / 2

    @torch.no_grad()
    def shown_first(self, comparisons: Sequence[Comparison]) -> Tensor:
        """[N] float64: P(the one shown first), each asked once in the order it has; 1/2 where it is
        longer than what the model reads."""
        asked = [self._rows(each) for each in comparisons]
        long = [max(len(ids) for ids, _ in rows) > self.max_length for rows in asked]
        if any(long) and not self.warned:
            self.warned.append(True)
            log.warning(
                "annotator.path=%s reads at most %d tokens: of %s %d are longer, a tie (said once)",
                *(self.piece.path, self.max_length, plural(len(long), "comparison"), sum(long)),
            )
        preferences = torch.full((len(asked),), 0.5, dtype=torch.float64)
        fit = [i for i, too_long in enumerate(long) if not too_long]
        for start in range(0, len(fit), self.batch_size):
            some = fit[start : start + self.batch_size]
            preferences[some] = self._read([asked[i] for i in some])
        return preferences

    def _rows(self, comparison: Comparison) -> tuple[tuple[list[int], int], ...]:
        """For each of the two words the ids of the question and it, and how many of them differ
        from the other's."""
        question = self.template.format(
            prompt=comparison.prompt.text, first=comparison.first, second=comparison.second
        )
        chat = self.tokenizer.chat_template is not None
        if chat:
            turns = [{"role": "user", "content": question}]
            question = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        rows = [
            self.tokenizer(question + word, add_special_tokens=not chat)["input_ids"]
            for word in self.answers
        ]
        same = len(commonprefix(rows))
        if same == min(map(len, rows)):
            raise RunFailed(
                f"annotator.answers={[*self.answers]}: to the model's tokenizer the one word is the"
                " beginning of the other; choose words that begin differently"
            )
        return tuple((ids, len(ids) - same) for ids in rows)

    def _read(self, asked: Sequence[tuple[tuple[list[int], int], ...]]) -> Tensor:
        """[N] float64: pi(A) / (pi(A) + pi(B)) of each comparison's two rows. Rows that are the
        same but for the last id are read once."""
        every = [row for rows in asked for row in rows]
        inputs = {tuple(ids[:-1]): 0 for ids, _ in every}
        places = {ids: i for i, ids in enumerate(inputs)}
        tokens, mask = pad([*places], 0)
        keep = torch.zeros_like(mask)
        for ids, own in every:
            keep[places[tuple(ids[:-1])], len(ids) - 1 - own : len(ids) - 1] = True
        model, device = self.model.to(self.device), self.device
        logits = logits_at(model, tokens.to(device), mask.to(device), keep.to(device))
        number = torch.full(keep.shape, -1).masked_scatter(keep, torch.arange(int(keep.sum())))
        logp = logits.double().log_softmax(-1).cpu()
        words = [
            sum(
                float(logp[number[places[tuple(ids[:-1])], at - 1], ids[at]])
                for at in range(len(ids) - own, len(ids))
            )
            for ids, own in every
        ]
        return torch.tensor(words, dtype=torch.float64).view(-1, 2).softmax(1)[:, 0]
