"""What `hotswap` does beside serving, each command in a process of its own."""
