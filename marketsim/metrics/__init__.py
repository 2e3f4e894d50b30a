"""What a record says in numbers."""
