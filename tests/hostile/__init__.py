"""The hostile corpus: requests that try to stop a live installation, beside a second caller who must be answered."""
