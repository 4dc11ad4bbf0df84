"""What callers send and read: validation, columns, encoding."""
