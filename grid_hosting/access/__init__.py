"""The principals of a system with their grants and tokens: the rules for them, and how they are stored.

Both the registry and the commands that work without a server use this package. Read its modules in this order.

- `tokens`           bearer tokens: how they are made, and what is stored of them.
- `denied_jwts`      JSON Web Tokens that an administrator has denied.
- `book`             all principals and tokens, and every rule about them.
- `programs`         the principals of the programs, and of the first administrator.
- `jwt_form`         reads a JSON Web Token before it is verified.
- `jwt_keys`         reads the public keys of an issuer.
- `jwt_issuers`      verifies a token, and decides what its claims grant.
- `verified_jwts`    remembers tokens that are already verified.
- `jwt_key_sources`  reads the keys of the issuers from files and URLs, and refreshes them.
- `store`            the file `access.db`.
- `audit`            what the audit log records, and how refusals are counted.
- `audit_codec`      encodes audit records for the wire.
- `trail`            writes the audit records of one server.
- `reports`          checks the audit records that other servers send to the registry.
- `failed_attempts`  how long the answer to a failed attempt is delayed.
- `answers`          caches the registry's answers in a program that stores no principals.
- `remote`           identifies the callers of such a program by asking the registry.
- `remote_audit`     sends the audit records of such a program to the registry.
- `remote_access`    combines `remote` and `remote_audit` with interceptors of a gRPC server.
"""
