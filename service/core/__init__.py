"""Words that all layers share, in every process: no imports but each other, and no I/O."""
