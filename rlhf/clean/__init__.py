"""What takes disk and nobody needs any more, and its removal. Reads files only until it removes; no
torch."""
