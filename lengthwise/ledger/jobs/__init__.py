"""What a caller does with a job, and its removal after the retention time."""
