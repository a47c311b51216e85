"""Programs and texts that show how lengthwise is used."""
