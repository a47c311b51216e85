"""What must be repaired as time passes: the sweep and its clock."""
