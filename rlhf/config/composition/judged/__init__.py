"""What a file may say of logging, of commands that are run and of rewards, and the code of the
functions that it names."""
