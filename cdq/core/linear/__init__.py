"""Linear Q-functions: features of a vector, and the phases of a loop that learns their weights."""
