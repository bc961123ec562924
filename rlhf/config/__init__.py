"""From a command line to a checked, typed config, before anything heavy is imported."""
