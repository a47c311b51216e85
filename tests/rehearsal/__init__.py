"""Breaks a real installation as it breaks in operation, and notes who says so, how, and after how long."""
