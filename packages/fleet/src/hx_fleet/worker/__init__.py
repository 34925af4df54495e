"""What runs one model: the process that starts and watches others, and the one that runs the steps."""
