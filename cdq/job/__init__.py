"""Learning jobs: one process, the hub, holds the table; workers that come and go learn windows for it."""
