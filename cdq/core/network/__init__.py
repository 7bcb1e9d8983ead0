"""Networks: layers, their gradients and the optimiser, and the rollouts that they learn from."""
