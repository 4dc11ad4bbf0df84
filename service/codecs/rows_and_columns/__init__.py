"""JSON with rows or columns, which this service speaks by itself: `{"instances": ...}`."""
