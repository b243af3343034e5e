"""The optimiser core: tensors in, tensors out."""
