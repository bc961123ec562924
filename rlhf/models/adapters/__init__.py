"""LoRA adapters (arXiv 2106.09685) over one frozen network, in PEFT's layers.

    shared = SharedBackbone(causal_lm)                   # frozen; policy_of's hooks stay in force
    shared.add("policy", Lora(r=16, alpha=32), seed=0)   # frozen too, until somebody trains it
    policy = PolicyView(shared, "policy")                # a policy; its parameters: the adapter's
    reference = PolicyView(shared)                       # the same network without adapters
    reward_model = ScalarView(shared, "reward")          # an adapter, and a scalar head of its own
    policy.requires_grad_(True)

    write(keep(policy), folder, policy, base=path)      # PEFT's folder; policy_from(shared, name,
    merged(load_causal_lm(path), read(folder))          # read(folder)) is its view again

A view registers what is its own and nothing else, so optimizers, checkpoints, weight checks and DDP
that are given views see adapters and heads alone; `view.to(device)` takes the network along. What a
view computes is with its own adapters, whatever else is active: see `SharedBackbone.using`. Not for
several threads at once.
"""
