"""Jobs that are sent as tables, and results that are answered as tables."""
