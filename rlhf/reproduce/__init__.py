"""Makes a run, a stage or a sweep again from what it kept, and says whether every number is the
same."""
