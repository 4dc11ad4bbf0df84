"""How a loaded model is called, in workers."""
