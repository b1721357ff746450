"""The process: settings, the durable workflow, the HTTP application, the command line."""

__version__ = "0.1.0"
