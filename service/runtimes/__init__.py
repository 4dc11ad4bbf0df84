"""Where a loaded model lives: child processes and pools of them."""
