"""What people look at: how each model stands, its story, and charts of its last hour."""
