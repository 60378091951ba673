"""The report's plots, a file each: functions from a sweep's history to a plotly figure as plain data."""
