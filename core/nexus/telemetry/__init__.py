"""Every metric, declared once; their HTTP endpoint; and log lines of key=value pairs."""
