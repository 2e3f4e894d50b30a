"""How plain functions over tables become machine code."""
