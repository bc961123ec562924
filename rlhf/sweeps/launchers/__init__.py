"""Who runs the jobs of a sweep: processes of this machine, or another program's workers."""
