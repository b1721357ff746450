"""The subcommands of ``spine-node``, one module each; a module is imported only when its command is called."""
