"""What to ask for, and in what order."""
