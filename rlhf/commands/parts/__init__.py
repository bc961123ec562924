"""What several subcommands share, and what one is too long for."""
