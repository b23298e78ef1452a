"""What the project says of its methods, measured again."""
