"""What Driftline does, one verb a module: plain functions that the operators and the command line call."""
