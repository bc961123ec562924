"""The pictures of a comparison, drawn with matplotlib."""
