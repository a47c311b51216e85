"""What is known of the forms in which others publish models."""
