"""What a process counts, times and measures, and the small HTTP server that shows it to Prometheus."""
