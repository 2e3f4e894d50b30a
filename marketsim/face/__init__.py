"""What `import marketsim as ms` gives: everything that the commands do, from Python."""
