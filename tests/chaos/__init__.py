"""The long runs of `make chaos`; a bounded share of each is among the tests."""
