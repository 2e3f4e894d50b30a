"""Where two runs part: the first chunk, event, message and draw that differ."""
