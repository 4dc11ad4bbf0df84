"""`/predict`: rows or columns in, predictions out, as JSON or Arrow."""
