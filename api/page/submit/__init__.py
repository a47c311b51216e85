"""Sending a file as a job: a form, a look at the first rows, and the same way in as the API's."""
