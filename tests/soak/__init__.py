"""What shows only with time and force: killed processes, many streams at once, full disks. See .ci/soak."""
