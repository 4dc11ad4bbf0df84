"""What HTTP sees, in the server process: a package for each protocol, one for control."""
