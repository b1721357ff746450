// Nothing: pages of this node work without a service worker, whose library would be loaded from elsewhere.
