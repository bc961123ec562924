"""Policies and reward models by the folders that hold them: whole networks, and adapters beside a
frozen network that several of them may share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.models.adapters.backbone import SharedBackbone
from rlhf.models.adapters.files import merged_policy, merged_scalar, read_policy, read_scalar
from rlhf.models.adapters.views import PolicyView
from rlhf.models.files.adapter import Base, base_of, is_adapter
from rlhf.models.load import load_causal_lm, load_scalar_model
from rlhf.models.policy import policy_of
from rlhf.models.scalar import Scalar

Policy: TypeAlias = PreTrainedModel | PolicyView
SFT = "sft"  # what the adapter of a policy that others begin from is called


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Loads what folders hold. Each frozen network is in memory once where roles `share` it.

    Without `views` there are whole networks alone: an adapter is merged into its own.
    """

    tokenizer: PreTrainedTokenizerBase
    views: bool = False
    share: bool = False
    dtype: torch.dtype = torch.float32  # of frozen networks
    trust_remote_code: bool = False
    shared: dict[Base, SharedBackbone] = field(default_factory=dict)
    policies: dict[Path, PolicyView] = field(default_factory=dict)

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
            policy = read_policy(shared, free_name(shared, SFT), folder)
        else:
            policy = PolicyView(self.frozen(Base(str(key))))
        self.policies[key] = policy
        return policy

    def whole(self, folder: Path) -> PreTrainedModel:
        """A policy as one network of its own."""
        model = (
            merged_policy(self.load(base_of(folder), torch.float32), folder)
            if is_adapter(folder)
            else load_causal_lm(folder, trust_remote_code=self.trust_remote_code)
        )
        return policy_of(model, self.tokenizer)

    def scalar(self, folder: Path, name: str = "reward") -> Scalar:
        """A reward model: a network of its own, or an adapter and a head beside a frozen one."""
        if not is_adapter(folder):
            return load_scalar_model(folder)
        if not self.views:
            return merged_scalar(self.load(base_of(folder), torch.float32), folder)
        shared = self.frozen(base_of(folder))
        return read_scalar(shared, free_name(shared, name), folder)

    def frozen(self, base: Base) -> SharedBackbone:
        """The network that adapters stand beside."""
        if self.share and base in self.shared:
            return self.shared[base]
        model = self.load(base, self.dtype).requires_grad_(False)
        self.shared[base] = SharedBackbone(policy_of(model, self.tokenizer))
        return self.shared[base]

    def load(self, base: Base, dtype: torch.dtype) -> PreTrainedModel:
        where = {} if base.revision is None else {"revision": base.revision}
        trusted = self.trust_remote_code
        return load_causal_lm(base.path, dtype=dtype, trust_remote_code=trusted, **where)


def free_name(shared: SharedBackbone, name: str) -> str:
    """`name`, or `name_1`, ... where an adapter is called so already."""
    taken = shared.adapters.keys()
    names = (name, *(f"{name}_{i}" for i in range(1, len(taken) + 1)))
    return next(each for each in names if each not in taken)
