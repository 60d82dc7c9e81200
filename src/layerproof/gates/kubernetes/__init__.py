"""Kubernetes: admission reviews in, answers out; no sockets (they are `server.kubernetes_gate`).

`review` reads what the API server asks, `images` finds every image in an object, `admission` says
what follows from the answers on them, `image_review` does the same for ImagePolicyWebhook.
"""
