"""Generated code of the Open Inference Protocol, in the private descriptor pool."""
