"""Brings a published model into the form that lengthwise serves."""
