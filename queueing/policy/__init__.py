"""Decisions, all pure: a snapshot and limits in, a decision out; worker, forecast and simulation call the same."""
