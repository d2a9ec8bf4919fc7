"""How an archive stands: its numbers, and what is wrong, for the dashboard, the metrics, the report and the alarms."""
