"""How sure a figure is: estimates, sequences and indices over replications."""
