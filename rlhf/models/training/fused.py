"""Optimizers that step with one kernel."""

from __future__ import annotations

import torch


def keep_fused(optimizer: torch.optim.Optimizer) -> None:
    """An optimizer that was made with one kernel for its steps has it after a checkpoint too: the
    state of one that had not, loaded, would take it away and say nothing."""
    if not optimizer.defaults.get("fused"):
        return
    for group in optimizer.param_groups:
        group["fused"] = True
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "step" in state:  # the kernel counts beside the weights
                state["step"] = state["step"].to(parameter.device, torch.float32)
