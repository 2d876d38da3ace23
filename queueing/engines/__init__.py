"""Adapters to the models. Nothing here imports Django's ORM."""
