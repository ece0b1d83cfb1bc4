"""What all processes tell the operator's own tools: metrics, traces, logs. No Django, no queue."""
