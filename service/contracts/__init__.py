"""Which values callers send and get: types, columns, rules. In the server process and workers."""
