"""What `rlhf list` shows of an inventory: rows, tables, JSON."""
