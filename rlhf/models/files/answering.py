"""A policy's directory as a model that answers prompts, the way somebody without us reads it:
`mlflow.pyfunc.load_model("models:/m-...")` gives one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PROMPT, RESPONSE = "prompt", "response"
SETTINGS: dict[str, Any] = {"max_new_tokens": 64, "do_sample": True, "temperature": 1.0}


class Answering:
    """What MLflow's `predict` calls."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def predict(self, prompts: pd.DataFrame, params: dict[str, Any] | None = None) -> list[str]:
        """A response to each prompt."""
        return [self._answer(prompt, SETTINGS | (params or {})) for prompt in prompts[PROMPT]]

    def _answer(self, prompt: str, settings: dict[str, Any]) -> str:
        tokenizer, like = self._tokenizer, {"return_tensors": "pt"}
        if tokenizer.chat_template is None:
            encoded = tokenizer(prompt, **like)
        else:
            encoded = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                return_dict=True,
                **like,
            )
        sequence = self._model.generate(**encoded, **settings)[0]
        text = tokenizer.decode(sequence[encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(text)


def _load_pyfunc(path: str) -> Answering:
    """The name that MLflow looks for."""
    return Answering(Path(path))
