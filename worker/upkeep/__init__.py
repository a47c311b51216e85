"""What must be repaired as time passes."""
