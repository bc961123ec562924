"""A callback that remembers the weights of every role before and after a run."""

import hashlib

import pytorch_lightning as pl

SEEN = {}


def digest(module):
    """sha256 of a module's own weights; "" of none."""
    total = hashlib.sha256()
    tensors = module.state_dict()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].detach().cpu().numpy().tobytes())
    return total.hexdigest() if tensors else ""


def roles(module):
    parts = module.parts
    views = {
        "policy": module.policy,
        "value": module.value_model,
        "start": parts.start.model,
        "reference": parts.reference.model,
        "reward": parts.judges.reward_model,
    }
    networks = {
        f"{name} network": view.shared for name, view in views.items() if hasattr(view, "shared")
    }
    return {name: digest(view) for name, view in views.items() if view is not None} | {
        name: shared.digest() for name, shared in networks.items()
    }


class Roles(pl.Callback):
    def on_fit_start(self, trainer, module):
        SEEN[module.stage] = {}
        if module.stage == "ppo":
            shared = getattr(module.policy, "shared", None)
            SEEN["ppo"] = {
                "before": roles(module),
                "trained": sorted(n for n, p in module.named_parameters() if p.requires_grad),
                "networks": len(
                    {
                        id(v.shared)
                        for v in (
                            module.policy,
                            module.value_model,
                            module.parts.judges.reward_model,
                        )
                        if hasattr(v, "shared")
                    }
                ),
                "adapters": None if shared is None else sorted(shared.adapters),
            }

    def on_fit_end(self, trainer, module):
        if module.stage == "ppo":
            SEEN["ppo"]["after"] = roles(module)
