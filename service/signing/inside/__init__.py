"""What runs in the process that verifies signatures, and in no other."""
