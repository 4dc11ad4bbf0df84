"""What a request costs by each protocol, and beside the servers whose protocol it is."""
