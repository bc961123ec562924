"""The pieces of conf/annotator."""
