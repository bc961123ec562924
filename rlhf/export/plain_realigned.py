"""Draws from an exported pair of models as somebody without us does: by the folder's own realign.py
and transformers. Run as a script in a process of its own, `python plain_realigned.py FOLDER ROWS
ANSWER`, both files JSON. No import of ours."""

import json
import sys
from pathlib import Path
from typing import Any

import torch


def read(folder: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The greedy tokens after rows of ids, all together and one at a time, and the log-probability
    of each; the ids that the template makes of conversations."""
    torch.set_num_threads(1)
    sys.path.insert(0, folder)
    from realign import Realign, load  # type: ignore[import-not-found]

    own_code = {"trust_remote_code": asked["own_code"]}
    policy, reference, tokenizer, weight = load(folder, **own_code)
    turns = [
        tokenizer.apply_chat_template(each, return_dict=False) for each in asked["conversations"]
    ]

    def greedy(rows: list[list[int]]) -> tuple[list[list[int]], list[list[float]]]:
        batch = tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        output = policy.generate(
            **batch,
            logits_processor=[Realign(reference, weight, batch["attention_mask"])],
            do_sample=False,
            max_new_tokens=asked["tokens"],
            tokenizer=tokenizer,
            return_dict_in_generate=True,
            output_scores=True,
        )
        tokens = output.sequences[:, batch["input_ids"].shape[1] :]
        scores = torch.stack(output.scores, dim=1).log_softmax(-1)
        return tokens.tolist(), scores.gather(2, tokens[..., None]).squeeze(2).tolist()

    together = greedy(asked["rows"])
    alone = [greedy([row]) for row in asked["rows"]]
    return {
        "tokens": {"together": together[0], "alone": [each[0][0] for each in alone]},
        "logp": {"together": together[1], "alone": [each[1][0] for each in alone]},
        "turns": turns,
    }


if __name__ == "__main__":
    where, rows, answer = sys.argv[1:]
    Path(answer).write_text(json.dumps(read(where, json.loads(Path(rows).read_text()))))
