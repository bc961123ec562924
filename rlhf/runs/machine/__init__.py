"""The machine that a run is on: what it lacks, the room on its disk, the scheduler."""
