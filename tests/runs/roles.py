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


def views_of(module):
    parts = module.parts
    return {
        "policy": module.policy,
        "value": module.value_model,
        "start": parts.start.model,
        "reference": parts.reference.model,
        "reward": parts.judges.reward_model,
    }


def roles(module):
    views = {name: view for name, view in views_of(module).items() if view is not None}
    shared = {f"{name} network": v.shared for name, v in views.items() if hasattr(v, "shared")}
    return {name: digest(view) for name, view in views.items()} | {
        name: network.digest() for name, network in shared.items()
    }


def networks(module):
    return {id(view.shared) for view in views_of(module).values() if hasattr(view, "shared")}


class Roles(pl.Callback):
    def on_fit_start(self, trainer, module):
        if module.stage == "ppo":
            named = module.named_parameters()
            SEEN["ppo"] = {
                "before": roles(module),
                "trained": sorted(name for name, p in named if p.requires_grad),
                "networks": len(networks(module)),
            }

    def on_fit_end(self, trainer, module):
        if module.stage == "ppo":
            SEEN["ppo"]["after"] = roles(module)
