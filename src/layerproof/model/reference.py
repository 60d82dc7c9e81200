"""Image references as skopeo and podman write them, parsed once into a strong type.

    docker://HOST/NAME[:TAG][@DIGEST]     a registry; NAME alone is read as Docker reads it
    docker-daemon:NAME[:TAG] | ID         a Docker Engine, over its API
    docker-archive:FILE[:NAME[:TAG]]      what `docker save` writes, also gzipped
    oci:DIR[:TAG] | oci:DIR@DIGEST        an OCI image layout folder
    oci-archive:FILE[:TAG]                the same in a tar
    rootfs:FILE                           a plain root-file-system tar, as a one-layer image

A bare name is a registry name; a bare path that exists is recognised by its contents (that needs
the file system: `layerproof.sources`). Sources: containers-transports(5); distribution/reference.
"""
