"""Coverage and cost by category and module call."""
