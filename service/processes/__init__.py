"""Child processes as the server process sees them, and what it does about itself; no model.

Started, warm, called, watched, ended. What runs in every child is in `inside`.
"""
