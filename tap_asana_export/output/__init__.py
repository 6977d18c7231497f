"""The only writers of stdout, of batch files and of checkpoints."""
