"""The data that ships or is read, a file a source."""
