"""What a job would take, before it is submitted: its size, its time in the present queue, and what would refuse it."""
