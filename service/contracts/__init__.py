"""What callers send and read, in the server process and in workers: types, columns, JSON."""
