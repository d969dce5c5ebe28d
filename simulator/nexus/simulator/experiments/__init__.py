"""The paper's experiments and the single-session cases: scenarios, and functions that run them.

Each module has a function that returns the Scenario and one that runs policies on it and returns
plain rows, with the paper's ratios beside the measured ones.
"""
