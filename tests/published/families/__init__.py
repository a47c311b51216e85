"""The repositories, by what they are for."""
