"""Keys and tokens, and what their bearers may do; it knows no HTTP."""
