"""What codecs share that write JSON: values, rows of them, and how they are written."""
