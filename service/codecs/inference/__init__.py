"""Version 2 of the Open Inference Protocol, which Triton, KServe and MLServer speak: tensors."""
