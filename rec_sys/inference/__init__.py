"""What a user wrote becomes what to recommend, and why: every product is scored."""
