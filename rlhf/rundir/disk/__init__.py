"""Files on a disk that may be full, read-only or gone from one moment to the next: how they are
written whole, whose half-written ones are, and what is said when it cannot be done."""
