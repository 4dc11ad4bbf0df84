"""What runs in a compiler's process alone, with the lowest priority."""
