"""What a file may say of logging and of commands that are run."""
