"""Images in a registry that speaks the OCI distribution API (`docker://…`).

`source.RegistrySource` is the way in; the other modules are its parts:

- `settings`       what the operator may choose
- `names`          which hosts a registry name stands for, mirrors included
- `docker_config`  credentials as docker and podman keep them; `helper` runs credential helpers
- `auth`           challenges and tokens: who gets which credential
- `transport`      sockets, TLS and proxies under httpx
- `exchange`       one request: authorisation, redirects, retries, readable errors
- `client`         manifests and blobs, bounded and pinned to digests
"""
