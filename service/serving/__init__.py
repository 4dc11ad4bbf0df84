"""What requests see, in the server process: from the data plane to a worker."""
