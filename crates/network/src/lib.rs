//! Pod networking: CNI configuration and its plugins, routes between nodes.
