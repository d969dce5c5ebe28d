"""Deployment: dashboards and alerts generated from code, and the replica controller."""
