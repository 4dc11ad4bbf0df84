"""What is traced of requests, whatever exports it; it knows no library of tracing."""
