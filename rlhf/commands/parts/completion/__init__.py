"""What a shell offers on TAB. Nothing heavy is imported: names of files, YAML, and source that is
parsed, not run."""
