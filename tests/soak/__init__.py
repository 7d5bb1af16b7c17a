"""Long and destructive tests: killed processes, many streams at once, full disks. See .ci/soak."""
