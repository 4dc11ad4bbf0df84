"""When a version is compiled, as the server process decides; the compiler is in `inside`."""
