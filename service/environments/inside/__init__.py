"""What runs in processes that read the files which say what an environment consists of."""
