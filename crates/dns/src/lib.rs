//! Cluster DNS: answers for services and pods, forwarding for the rest.
