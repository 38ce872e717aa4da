"""Decisions under a bound: the rule over probabilities, and the boosting that gives these."""
