"""Claims of the field where every expectation is a sum over a list: docs/records/claims.

    python -m benchmarks.claims                          # every claim's exact tables, minutes
    python -m benchmarks.claims k2_in_loss --problems 20
    python -m benchmarks.claims k2_in_loss --runs        # and PPO: experiment=claims/k2_in_loss
    python -m benchmarks.claims k2_in_loss --runs --seeds 3

Each table is Markdown, as it stands on the claim's page, below the command that made it. A problem
is a table of logits drawn from its number (`problems.draw`): 0, 1, 2, ... in their order, none
chosen. An interval is a 95 % t interval of the mean over problems. What is done is kept in
`--folder` and not done again; `--runs` goes on with a sweep where it was.
"""
