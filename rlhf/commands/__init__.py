"""The commands, a file each: what stands on the command line becomes calls of the packages
below."""
