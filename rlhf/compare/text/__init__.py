"""The comparison in words: the answer, report.md and its tables."""
