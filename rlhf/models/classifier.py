"""Sequence classifiers of somebody else's, with all their labels."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rlhf.models.files.folder import loading
from rlhf.models.files.weights import check_weights
from rlhf.models.load import without_dropout
from rlhf.rundir.errors import ModelError


def load_classifier(path: str | Path) -> PreTrainedModel:
    """A sequence classifier.

    Raises:
        ModelError: the folder lacks weights, a head's say, which would be drawn at random.
    """
    with loading(path):
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            str(path), use_safetensors=True, output_loading_info=True
        )
    if missing := sorted(loaded["missing_keys"]):
        raise ModelError([f"{path} is no classifier: it has no weights {', '.join(missing[:3])}"])
    check_weights(model, path)
    return without_dropout(model)
