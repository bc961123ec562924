"""Random faults, drawn from a seed, against real commands: what is lost, and what is let in.

    python -m benchmarks.soak                       # 200 kills, and some of every other kind
    python -m benchmarks.soak --each 10             # ten of every kind (CI does three)
    python -m benchmarks.soak kill=50 damage=20     # so many of these kinds
    python -m benchmarks.soak damage:17 --keep /tmp/d   # try 17 of a kind again, its folder kept
    python -m benchmarks.soak --markdown docs/records/reliability.md   # the table into that page

A try is a tiny run (SFT, reward model and PPO on `data=micro`, tracked by MLflow) in a folder of
its own. Something goes wrong, at a moment drawn from the seed; then the same command is given again
until it is done, and every row and weight is compared with those of a run that nothing happened
to. Commands are forked from a process that has imported everything once, so that a try takes
about a second; they run all that the command `rlhf` does. Half of the moments are times, half are
counted in the command's own operations on files (the 37th time that it opens one for writing,
renames or removes one), which finds the places between two files.

The exit code is 0 only if no promise of docs/records/reliability.md was broken.
"""
