"""report.html: its charts, tooltips and samples, and the templates that hold them."""
