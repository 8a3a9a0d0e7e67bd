"""One adapter for each vendor, which turns its errors into `Transient`, `Permanent` or `Misconfigured`."""
