"""The web service and its page: people write reviews and get recommendations."""
