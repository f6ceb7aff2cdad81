"""What the functions share on the Lambda side: HTTP routes, clients, logs, metrics and traces."""
