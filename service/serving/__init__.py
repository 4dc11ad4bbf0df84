"""What requests see."""
