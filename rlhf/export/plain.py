"""Reads a model's directory as somebody without us does: transformers alone. Run as a script in a
process of its own, `python plain.py FOLDER ROWS ANSWER`, both files JSON. No import of ours."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer


def read(folder: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Scores or sums of log-probabilities of rows of ids, read together and padded by the
    directory's own tokenizer; the ids that its template makes of conversations."""
    torch.set_num_threads(1)
    own_code = {"trust_remote_code": asked["own_code"]}
    tokenizer = AutoTokenizer.from_pretrained(folder, **own_code)
    batch: dict[str, Any] = {}
    if tokenizer.pad_token_id is not None:
        rows = {"input_ids": asked["rows"]}
        batch = dict(tokenizer.pad(rows, padding_side="right", return_tensors="pt"))
    batches = [
        {"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row)).long()}
        for row in asked["rows"]
    ]
    turns = [
        tokenizer.apply_chat_template(each, return_dict=False) for each in asked["conversations"]
    ]
    kinds = {"policy": AutoModelForCausalLM, "reward_model": AutoModelForSequenceClassification}
    kind = {"dtype": asked["dtype"]} if "dtype" in asked else {}  # of an adapter's network
    model = kinds[asked["what"]].from_pretrained(folder, **own_code, **kind).eval()
    reader = scores if asked["what"] == "reward_model" else logp
    with torch.no_grad():
        values = reader(model, batch) if batch else []
        alone = [value for each in batches for value in reader(model, each)]
    return {"together": values, "alone": alone, "turns": turns}


def scores(model: Any, batch: dict[str, Any]) -> list[float]:
    logits = model(**batch).logits.float().squeeze(-1)
    values: list[float] = (logits - model.config.score_mean).tolist()
    return values


def logp(model: Any, batch: dict[str, Any]) -> list[float]:
    """Of each row the mean over its tokens but the first of log pi(token | before)."""
    ids, counted = batch["input_ids"], batch["attention_mask"][:, 1:].bool()
    logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits.float()
    each = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    values: list[float] = (each.where(counted, 0.0).sum(1) / counted.sum(1)).tolist()
    return values


if __name__ == "__main__":
    where, rows, answer = sys.argv[1:]
    Path(answer).write_text(json.dumps(read(where, json.loads(Path(rows).read_text()))))
