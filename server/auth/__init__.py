"""Who may do what over HTTP: roles, users, sessions, keys, the gate before every route, and the audit trail."""
