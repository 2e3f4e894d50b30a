"""The training document's dashboard on a terminal: of a running devnet, or of a recorded run that is played again."""
