"""What time alone must mend: the sweep and its clock."""
