"""From files to values: runs, their curves, best of n, searches, what they stand on."""
