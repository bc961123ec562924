"""The launchers of a sweep's jobs: processes of this machine, or another program's workers."""
