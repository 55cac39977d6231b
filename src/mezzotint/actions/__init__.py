"""Actions on jobs and uploads, one verb a file. Each leaves a job in a state that its owner can see."""
