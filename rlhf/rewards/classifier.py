"""A Hugging Face sequence classifier, or a reward model of somebody else's, as a reward."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf.arguments import one_of
from rlhf.data.collate import pad
from rlhf.data.lengths import shorten
from rlhf.models.checks import positions_of
from rlhf.models.classifier import load_classifier
from rlhf.models.files.folder import folder_identity
from rlhf.models.load import load_config, load_tokenizer
from rlhf.rewards.checks import name_fault, text_fault
from rlhf.rewards.texts import Row, TextScorer
from rlhf.rundir.errors import ModelError
from rlhf.rundir.words import plural

log = logging.getLogger(__name__)

WHOLE = "{prompt}{response}"


class ClassifierScorer(TextScorer):
    """What a classifier says of a label: its logit, log-probability or probability.

    It reads, with its own tokenizer, the conversation by its own chat template where it has one,
    else prompt and response as they are, or what `text` makes of them (`{prompt}`, `{response}`). A
    text of more than `max_length` tokens loses its beginning. A row is padded on the right, and its
    score is that of the row alone.

    Args:
        path: a folder, or a name on the hub.
        label: its number or name; None where the model has one.
        score: probabilities are those of the softmax over the labels, of the sigmoid where there is
            one label, or several that do not exclude each other (`multi_label_classification`).
        max_length: None: what its tokenizer and its positions take.

    Raises:
        ModelError: the model cannot be had, or has no such label.
    """

    def __init__(
        self,
        path: str,
        label: int | str | None = None,
        score: Literal["logit", "log_prob", "probability"] = "logit",
        text: str | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        metric: str = "classifier",
        **rules: Any,
    ) -> None:
        super().__init__(metric=metric, batch_size=batch_size, **rules)
        self.form = one_of("score", score, ("logit", "log_prob", "probability"))
        for reason in (text_fault(text), name_fault(metric)):
            if reason is not None:
                raise ValueError(reason)
        self.path, self.text = path, text
        local = Path(path).is_absolute() or path.startswith(".") or path.count("/") > 1
        if local and not Path(path).is_dir():
            raise ModelError([f"path={path}: there is no such folder"])
        try:
            self.config, self.tokenizer = load_config(path), load_tokenizer(path)
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError([f"path={path}: {reason}"]) from None
        kinds = self.config.architectures or ()
        if kinds and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
            raise ModelError([f"path={path}: is a {kinds[0]}; expected a sequence classifier"])
        self.label = label_index(dict(self.config.id2label or {}), label, path)
        known = (max_length, self.tokenizer.model_max_length, positions_of(self.config))
        self.max_length = min(limit for limit in known if limit is not None)
        self.pad_id = getattr(self.config.get_text_config(), "pad_token_id", None)
        self.warned = False

    @cached_property
    def model(self) -> Any:
        return load_classifier(self.path)

    def prepare(self) -> None:
        _ = self.model

    def identity(self) -> Any:
        return folder_identity(self.path)

    def texts(self, rows: Sequence[Row]) -> list[list[int]]:
        """The ids of each row, at most `max_length`."""
        encoded = [self._ids(row) for row in rows]
        cut = sum(len(ids) > self.max_length for ids in encoded)
        if cut and not self.warned:
            self.warned = True
            log.warning(
                "scorer.path=%s reads at most %d tokens: %d of %s were longer and lost their"
                " beginning (said once)",
                self.path,
                self.max_length,
                cut,
                plural(len(rows), "text"),
            )
        return [self._shortened(ids) for ids in encoded]

    def _ids(self, row: Row) -> list[int]:
        if self.text is None and self.tokenizer.chat_template:
            turns = [turn._asdict() for turn in row.turns]
            turns.append({"role": "assistant", "content": row.response})
            shown = self.tokenizer.apply_chat_template(turns, tokenize=False)
            ids: list[int] = self.tokenizer(shown, add_special_tokens=False)["input_ids"]
            return ids
        cells = row._asdict()
        text = re.sub(r"{(prompt|response)}", lambda m: cells[m[1]], self.text or WHOLE)
        own: list[int] = self.tokenizer(text)["input_ids"]
        return own

    def _shortened(self, ids: list[int]) -> list[int]:
        """The last tokens; a special one that the text begins with stays before them."""
        special = ids[:1] if {*ids[:1]} & {*self.tokenizer.all_special_ids} else [None]
        return shorten(ids, self.max_length, special[0])

    @torch.no_grad()
    def numbers(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        model, texts = self.model.to(device), self.texts(rows)
        scores: dict[int, float] = {}
        for group in self._groups(len(texts)):
            tokens, mask = pad([texts[i] for i in group], self.pad_id or 0)
            out = model(input_ids=tokens.to(device), attention_mask=mask.long().to(device))
            scores |= dict(zip(group, self._chosen(out.logits.float()), strict=True))
        return [scores[i] for i in range(len(rows))]

    def _groups(self, count: int) -> list[list[int]]:
        """The rows that are read together: all, or one by one where the model has no id to pad
        with."""
        if self.pad_id is not None:
            return [[*range(count)]]
        return [[row] for row in range(count)]

    def _chosen(self, logits: Tensor) -> list[float]:
        apart = logits.shape[1] == 1 or self.config.problem_type == "multi_label_classification"
        if self.form != "logit":
            logits = logsigmoid(logits) if apart else logits.log_softmax(1)
        chosen = logits[:, self.label]
        scores: list[float] = (chosen.exp() if self.form == "probability" else chosen).tolist()
        return scores


def label_index(names: Mapping[Any, str], label: int | str | None, path: str) -> int:
    """The number of a label.

    Raises:
        ModelError: there is none of that name or number, or none is named and there are several.
    """
    every = ", ".join(f"{number} ({name})" for number, name in sorted(names.items()))
    if label is None and len(names) == 1:
        return 0
    if label is None:
        raise ModelError([f"label is not set, and {path} has {len(names)}: {every}"])
    matches: list[int] = [n for n, name in names.items() if label in (n, name)]
    if not matches:
        matches = [n for n, name in names.items() if str(label).casefold() == name.casefold()]
    if len(matches) != 1:
        raise ModelError([f"label={label}: {path} has no such label; it has {every}"])
    return matches[0]
