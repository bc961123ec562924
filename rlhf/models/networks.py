"""Policies and reward models by the folders that hold them: whole networks, and adapters beside a
frozen network that several of them may share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.models.adapters.backbone import SharedBackbone
from rlhf.models.adapters.kept import keep, read, write
from rlhf.models.adapters.load import merged, merged_scalar, policy_from, scalar_from
from rlhf.models.adapters.quantized import loading_as
from rlhf.models.adapters.views import Policy as Policy, PolicyView, View
from rlhf.models.files.adapter import Base, base_of, dtype_of, is_adapter, network_of
from rlhf.models.load import attention_of, load_causal_lm, load_scalar_model
from rlhf.models.policy import policy_of
from rlhf.models.scalar import Scalar
from rlhf.rundir.errors import RunFailed

SFT = "sft"  # what the adapter of a policy that others begin from is called


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Loads what folders hold. Each frozen network is in memory once where roles `share` it.

    Without `views` there are whole networks alone: an adapter is merged into its own.
    """

    tokenizer: PreTrainedTokenizerBase
    views: bool = False
    share: bool = False
    frozen_whole: bool = False  # nothing trains whole networks either
    dtype: str = "float32"  # of frozen networks, as `model.dtype` has it
    attention: str = "auto"  # of all networks, as `model.attention` has it
    trust_remote_code: bool = False
    shared: dict[Base, SharedBackbone] = field(default_factory=dict, init=False)
    policies: dict[Path, PolicyView] = field(default_factory=dict, init=False)

    def policy(self, folder: Path) -> Policy:
        """Of a whole network's folder the network; where views are wanted, frozen and without an
        adapter."""
        if not self.views:
            return self.whole(folder)
        key = folder.resolve()
        if self.share and key in self.policies:
            return self.policies[key]
        if is_adapter(folder):
            shared = self.frozen(base_of(folder))
            policy = policy_from(shared, free_name(shared, SFT), read(folder))
        else:
            policy = PolicyView(self.frozen(network_of(folder)))
        self.policies[key] = policy
        return policy

    def whole(self, folder: Path) -> PreTrainedModel:
        """A policy as one network of its own."""
        model = (
            merged(self.under(folder), read(folder))
            if is_adapter(folder)
            else load_causal_lm(
                folder, trust_remote_code=self.trust_remote_code, **attention_of(self)
            )
        )
        if self.frozen_whole:
            model.requires_grad_(False)
        return policy_of(model, self.tokenizer)

    def under(self, folder: Path) -> PreTrainedModel:
        """The network that a folder's adapter was made for, loaded anew."""
        return self.load(base_of(folder), dtype_of(folder) or self.dtype)

    def scalar(self, folder: Path, name: str = "reward") -> Scalar:
        """A reward model: a network of its own, or an adapter and a head beside a frozen one."""
        if not is_adapter(folder):
            return load_scalar_model(folder, **attention_of(self))
        if not self.views:
            return merged_scalar(self.under(folder), read(folder))
        shared = self.frozen(base_of(folder))
        return scalar_from(shared, free_name(shared, name), read(folder))

    def frozen(self, base: Base) -> SharedBackbone:
        """The network that adapters stand beside."""
        if self.share and base in self.shared:
            return self.shared[base]
        model = self.load(base, self.dtype).requires_grad_(False)
        return self.hold(base, policy_of(model, self.tokenizer))

    def hold(self, base: Base, model: PreTrainedModel) -> SharedBackbone:
        """The same of a network that is in memory already: its place on the disk, and the policy
        that it is."""
        self.shared[base] = SharedBackbone(model)
        return self.shared[base]

    def load(self, base: Base, dtype: str) -> PreTrainedModel:
        where = {} if base.revision is None else {"revision": base.revision}
        trusted = self.trust_remote_code
        kind = {**loading_as(dtype), **attention_of(self)}
        return load_causal_lm(base.path, trust_remote_code=trusted, **kind, **where)


def free_name(shared: SharedBackbone, name: str) -> str:
    """`name`, or `name_1`, ... where an adapter is called so already."""
    taken = shared.adapters.keys()
    names = (name, *(f"{name}_{i}" for i in range(1, len(taken) + 1)))
    return next(each for each in names if each not in taken)


def write_beside(
    view: View, tokenizer: PreTrainedTokenizerBase, folder: Path, *, base: Base
) -> None:
    """Writes what a view has trained, for PEFT over the network `base`, with its tokenizer."""
    write(keep(view), folder, view, base=base.path, revision=base.revision)
    if isinstance(view, PolicyView) and view.generation_config is not None:
        view.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# --- checkpoints, which hold what was trained and name the frozen networks by digest

BACKBONES = "backbones"


def backbone_digests(module: nn.Module) -> dict[str, str]:
    """Child of the module -> sha256 of the weights of the network that it is a view of."""
    views = {name: child for name, child in module.named_children() if isinstance(child, View)}
    digests = {id(view.shared): view.shared.origin for view in views.values()}
    return {name: digests[id(view.shared)] for name, view in views.items()}


def check_backbones(now: Mapping[str, str], then: Mapping[str, str]) -> None:
    """
    Raises:
        RunFailed: a checkpoint's adapters were trained beside another network.
    """
    for name in sorted({*now, *then}):
        if now.get(name) != then.get(name):
            shown = [(digests.get(name) or "none")[:12] for digests in (then, now)]
            raise RunFailed(
                f"the checkpoint's {name} was trained beside a network whose weights have the"
                f" sha256 {shown[0]}; now it is {shown[1]}. Put the network back as it was, or move"
                " the run's directory away to start anew"
            )
