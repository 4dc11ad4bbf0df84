"""How a loaded model is called, in workers and in the compiler."""
