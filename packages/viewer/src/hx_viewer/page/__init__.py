"""One page that shows a model: an HTML file that opens from disk and asks for nothing."""
