"""Attachments to claims: one value (claims.attachment), written as C-CDA, X12 275, PWK and CDex, and what comes back.

Everything here is pure: bytes in, bytes out. Sending is the server's work.
"""
