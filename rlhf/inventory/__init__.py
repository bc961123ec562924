"""What lies under outputs/ and sweeps/: runs, sweeps, artifacts, their state, the bytes that they
take and who needs whom. Reads files only; no torch."""

from rlhf.inventory.disk import Disk, Linked, freed, total
from rlhf.inventory.entries import (
    ArtifactEntry,
    Inventory,
    Key,
    Leftover,
    Measured,
    Other,
    RunEntry,
    SweepEntry,
)
from rlhf.inventory.walk import take_inventory

__all__ = [
    "ArtifactEntry",
    "Disk",
    "Inventory",
    "Key",
    "Leftover",
    "Linked",
    "Measured",
    "Other",
    "RunEntry",
    "SweepEntry",
    "freed",
    "take_inventory",
    "total",
]
