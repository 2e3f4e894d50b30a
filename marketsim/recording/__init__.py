"""What a run leaves behind, as columns."""
