"""Models whose weights lie in parts on several ranks (torch's `fully_shard`): how they are cut, how
they are read, and how they become whole again."""
