"""What runs in every child process: it is tied to the server process and answers calls."""
