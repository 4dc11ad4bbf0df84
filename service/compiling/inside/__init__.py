"""What runs in a compiler process, with the lowest priority."""
