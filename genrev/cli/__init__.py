"""The command line: one file a command, each gathers and then renders; torch is imported inside."""
