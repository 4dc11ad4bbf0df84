"""What promotions see."""
