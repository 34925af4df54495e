"""Where units run: an engine starts them and tells when the result of each is there."""
