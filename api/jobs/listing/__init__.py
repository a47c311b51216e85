"""Lists of jobs, and the filters of their requests."""
