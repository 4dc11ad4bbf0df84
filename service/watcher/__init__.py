"""What promotions see, in the server process."""
