"""The command line: Click and nothing else. Commands translate words and call the library."""
