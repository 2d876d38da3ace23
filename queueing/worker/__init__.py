"""The process of one node: it polls the queue, hands the GPU over, claims, runs and records; upkeep goes with it."""
