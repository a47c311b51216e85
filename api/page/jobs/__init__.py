"""The list of jobs, one job, and what may be done with them."""
