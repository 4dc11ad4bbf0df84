"""The bodies of each protocol, in the server process and in workers: bytes to calls, and back."""
