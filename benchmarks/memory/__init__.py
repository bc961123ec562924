"""The memory that stages really need at their peak, beside what `rlhf doctor` says of them.

    python -m benchmarks.memory measure                          # 4M and 30M parameters
    python -m benchmarks.memory measure --smollm2 FOLDER --adapters none lora
    python -m benchmarks.memory smollm2 --roles full,lora --iterations 20 --folder FOLDER
    python -m benchmarks.memory fits                             # which model fits where, computed
    python -m benchmarks.memory shared FOLDER                    # two processes with one model

Tables in Markdown; `--json FILE` (before the command) also writes them as numbers. Every stage is a
process of its own. Its peak is what was resident at the most (VmHWM), less what was after a toy's
run in the same process, which imports all that a run does; on a GPU what was allocated there. Both
count the weights that lie in mapped files. Lengths of rows are those in tokens, so that the
estimate's rule for characters has no part in it.

`smollm2` runs PPO with its four roles (policy, reference, reward and value model) on SmolLM2, once
each with full weights and with adapters on one backbone, the same batch, and adds seconds an
iteration, reward and KL at the end.
"""
