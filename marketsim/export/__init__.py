"""What leaves the simulator as files."""
