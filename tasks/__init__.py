"""The edges: storage, audio files, device batches, metrics and the commit of results."""
