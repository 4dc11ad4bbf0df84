"""The page that people look at: `/`, `/ui/NAME`, and what they load."""
