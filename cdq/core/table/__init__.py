"""Tables of action values: rows, the greedy choice, updates, and rows that are found by hashing."""
