"""A model split over several devices."""
