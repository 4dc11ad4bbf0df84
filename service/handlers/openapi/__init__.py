"""The OpenAPI document of what serves now, and the page that shows it."""
