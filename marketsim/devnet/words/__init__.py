"""The commands of a devnet: the real chain's command line, the training document's, and a shell in which they are at hand."""
