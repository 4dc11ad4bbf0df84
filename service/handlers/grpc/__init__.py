"""Version 2 of the Open Inference Protocol over gRPC; the only package that imports gRPC."""
