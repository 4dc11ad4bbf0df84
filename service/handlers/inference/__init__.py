"""Version 2 of the Open Inference Protocol over REST, as clients of Triton and KServe speak it."""
