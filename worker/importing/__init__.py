"""Makes a folder that lengthwise reads from a model in a form in which models are published."""
