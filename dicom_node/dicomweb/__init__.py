"""DICOMweb (PS3.18) over what was received and what this node made: search, retrieval, storing. Knows no HTTP server.

Whoever serves it hands in the words of a request (query parameters, Accept header, body) and gets values, bytes and
media types back; refusals carry the HTTP status that says them.
"""
