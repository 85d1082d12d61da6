"""Job runs and schedules: work in small steps that survives a kill, and the times at which it begins."""
