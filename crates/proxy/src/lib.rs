//! Services and EndpointSlices to nftables: rules(services) -> ruleset, diff, apply.
