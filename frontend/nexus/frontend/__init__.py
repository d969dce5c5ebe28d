"""The front door: admit or refuse, route, run queries, answer."""
