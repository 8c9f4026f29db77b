"""What a person wrote becomes what to recommend, and why."""
