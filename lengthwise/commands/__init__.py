"""What the command line asks of a running API, over HTTP, as any other caller would."""
