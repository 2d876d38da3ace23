"""The process of one node: it looks, hands the GPU over, claims, runs and records; every few seconds it tidies up."""
