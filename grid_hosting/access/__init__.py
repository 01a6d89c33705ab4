"""The principals of a system, their grants and their tokens: what is decided about them, and how they are stored.

Both the registry and the commands that work without a server use it. Read in this order.

- `tokens`           bearer tokens: how they are made, and what is stored of them.
- `denied_jwts`      JSON Web Tokens that an administrator has denied.
- `book`             all principals and tokens, and every rule about them.
- `programs`         the principals of the programs, and of the first administrator.
- `jwt_form`         reads a JSON Web Token before it is verified.
- `jwt_keys`         reads the public keys of an issuer.
- `jwt_issuers`      verifies a token, and decides what its claims grant.
- `verified_jwts`    the tokens that were verified before.
- `jwt_key_sources`  reads the keys of the issuers again, from files and URLs.
- `store`            the file `access.db`.
- `audit`            what the audit log records, and how refusals are counted.
- `audit_codec`      encodes its records.
- `trail`            writes the records of one server.
- `reports`          what the registry believes of the records of other servers.
- `failed_attempts`  how long the answer to a failed attempt is delayed.
- `answers`          what a program that keeps no principals remembers of the registry's answers.
- `remote`           the authority of such a program.
- `remote_audit`     writes its records to the registry.
- `remote_access`    both, with the interceptors of a gRPC server.
"""
