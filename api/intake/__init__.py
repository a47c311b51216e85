"""The one way in for items: checked, counted in tokens, put into their pools, and written as one job."""
