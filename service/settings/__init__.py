"""What can be set from outside, read once by the process that was started."""
